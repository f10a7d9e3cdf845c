/** Requests over connections that are kept, with answers of bounded size. Knows HTTP, not S3. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { AppError } from "@mags/core";

export interface TransportRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  /** Of the body of an answer of success; of others the beginning is kept. */
  readonly maxBytes: number;
  /** When nothing moves on its connection for so long, the request has failed. */
  readonly stallMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}

export interface Transport extends AsyncDisposable {
  /**
   * @throws AppError `unavailable` when there is no whole answer, `object_store_refused` when the other side cannot prove
   *   its identity or answers with more than `maxBytes`.
   */
  send(request: TransportRequest): Promise<Answer>;
}

export interface TransportOptions {
  readonly maxSockets: number;
}

const MAX_FAILURE_BYTES = 64 * 1024;

export function openTransport({ maxSockets }: TransportOptions): Transport {
  const agents = {
    "http:": new HttpAgent({ keepAlive: true, maxSockets }),
    "https:": new HttpsAgent({ keepAlive: true, maxSockets }),
  } as const;

  function send({ method, url, headers, body, maxBytes, stallMs, signal }: TransportRequest): Promise<Answer> {
    const secure = url.protocol === "https:";
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const length = body ? { "content-length": String(body.length) } : {};
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method,
      headers: { ...headers, ...length },
      agent: secure ? agents["https:"] : agents["http:"],
      timeout: stallMs,
      ...(signal ? { signal } : {}),
    });
    request.on("timeout", () => request.destroy(new Error(`nothing has moved for ${stallMs / 1000} s`)));
    request.on("error", (error) => reject(signal?.aborted ? signal.reason : connectionError(url, error)));
    request.on("response", (response) => {
      collect(response, { maxBytes: method === "HEAD" ? Number.POSITIVE_INFINITY : maxBytes, url }).then(
        resolve,
        (error: unknown) => {
          request.destroy();
          reject(signal?.aborted ? signal.reason : error);
        },
      );
    });
    request.end(body);
    return promise;
  }

  return {
    send,
    async [Symbol.asyncDispose]() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

interface CollectOptions {
  /** An answer to HEAD has no body; its length is that of another. */
  readonly maxBytes: number;
  readonly url: URL;
}

async function collect(response: IncomingMessage, { maxBytes, url }: CollectOptions): Promise<Answer> {
  const { statusCode: status = 0 } = response;
  const succeeded = status >= 200 && status < 300;
  const limit = succeeded ? maxBytes : MAX_FAILURE_BYTES;
  const pieces: Buffer[] = [];
  let length = 0;
  if (succeeded && Number(response.headers["content-length"] ?? 0) > limit) throw tooLong(url);
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
      pieces.push(piece);
      length += piece.length;
      if (length > limit) break; // which ends the connection
    }
  } catch (error) {
    throw connectionError(url, error);
  }
  if (length > limit && succeeded) throw tooLong(url);
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(response.headers)) headers[name] = Array.isArray(value) ? value[0] : value;
  return { status, headers, body: Buffer.concat(pieces).subarray(0, limit) };
}

/** Certificates that do not fit, and TLS with a side that does not speak it. Waiting mends neither. */
const IDENTITY = /^(ERR_TLS_CERT|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY)_|ERR_SSL_|EPROTO)/;

function connectionError(url: URL, cause: unknown): AppError {
  const { code = "", message = String(cause) } = (cause ?? {}) as NodeJS.ErrnoException;
  if (IDENTITY.test(code))
    return new AppError("object_store_refused", `${url.origin} does not prove who it is (${code})`, { cause });
  return new AppError("unavailable", `${url.origin} did not answer: ${code || message}`, { cause });
}

function tooLong(url: URL): AppError {
  return new AppError("object_store_refused", `${url.origin} answers with more bytes than were asked for`);
}
