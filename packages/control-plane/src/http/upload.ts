/** Bodies of requests that are taken as they come, of any length and as slowly as they are wanted. */
import type { IncomingMessage } from "node:http";
import multipart from "@fastify/multipart";
import { AppError, withDeadline } from "@mags/core";
import type { ToGuest } from "@mags/domain";
import type { FastifyInstance, FastifyRequest } from "fastify";

/** A client that sends nothing for so long, though it is read, is taken for gone. */
const IDLE_MS = 60_000;
/** For a client to hear that its upload was refused, and stop. */
const DISCARD_MS = 10_000;

export interface Upload {
  /** The body. To be read once. */
  readonly bytes: ToGuest;
  /** The files of a multipart body, one after the other; each must be read before the next. */
  files(limits: MultipartLimits): AsyncGenerator<UploadedPart, void, void>;
}

export interface MultipartLimits {
  readonly fileBytes: number;
  readonly files: number;
}

export interface UploadedPart {
  readonly field: string;
  readonly name: string;
  readonly content: ToGuest;
}

/** Makes the routes of a scope leave bodies unread. */
export async function acceptUploads(scope: FastifyInstance): Promise<void> {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser("*", (_request, _body, done) => done(null));
  await scope.register(multipart, { limits: { fields: 100, fieldSize: 4_096, headerPairs: 100 } });
}

export function uploadOf(request: FastifyRequest): Upload {
  const { raw } = request;
  return {
    bytes: bodyOf(raw),
    async *files({ fileBytes, files }) {
      if (!request.isMultipart())
        throw new AppError("validation_failed", "send the files as multipart/form-data, in parts named file");
      try {
        for await (const part of request.parts({ limits: { fileSize: fileBytes, files } })) {
          if (part.type !== "file") continue;
          yield { field: part.fieldname, name: part.filename, content: unstalled(part.file) };
        }
      } catch (error) {
        throw explainMultipart(error, { fileBytes, files });
      }
    },
  };
}

/** What is left of a body whose reply is an error: read and dropped for a while, else the client might not see the reply. */
export function discardRest(raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed) return;
  const timer = setTimeout(() => raw.destroy(), DISCARD_MS).unref();
  raw.once("close", () => clearTimeout(timer));
  raw.on("error", () => {});
  raw.resume();
}

async function* bodyOf(raw: IncomingMessage): AsyncGenerator<Uint8Array, void, void> {
  try {
    // The connection must outlive a reader that stops: the reply goes over it.
    yield* unstalled(raw.iterator({ destroyOnReturn: false }));
  } catch (error) {
    throw raw.destroyed || raw.errored
      ? new AppError("validation_failed", "the upload was cut off", { cause: error })
      : error;
  }
  if (!raw.complete) throw new AppError("validation_failed", "the upload was cut off");
}

async function* unstalled(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  const stalled = () => new AppError("validation_failed", `the upload stalled for ${IDLE_MS / 1000} s`);
  try {
    for (;;) {
      const { value, done } = await withDeadline(iterator.next(), IDLE_MS, stalled);
      if (done) return;
      yield value;
    }
  } finally {
    await iterator.return?.();
  }
}

function explainMultipart(error: unknown, { fileBytes, files }: MultipartLimits): unknown {
  const code = (error as { readonly code?: unknown } | null)?.code;
  switch (code) {
    case "FST_REQ_FILE_TOO_LARGE":
      return new AppError("payload_too_large", `a file has at most ${fileBytes / 1024 / 1024} MiB`, { cause: error });
    case "FST_FILES_LIMIT":
      return new AppError("payload_too_large", `at most ${files} files a request`, { cause: error });
    default:
      return error;
  }
}
