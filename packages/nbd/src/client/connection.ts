/**
 * Requests over one connection and their answers, which come in any order. What is no answer to a request that waits, or
 * no possible one, ends the connection.
 */
import type { Socket } from "node:net";
import { AppError } from "@mags/core";
import { NbdError } from "../nbd-error.ts";
import { type ByteReader, createByteReader } from "../protocol/byte-reader.ts";
import { ProtocolFault } from "../protocol/fault.ts";
import { CHUNK_LENGTH_BYTES, decodeReplyStart, REPLY_START_BYTES, type ReplyStart } from "../protocol/replies.ts";
import { encodeRequest } from "../protocol/requests.ts";
import { CHUNK, COMMAND, isErrorChunk } from "../protocol/values.ts";
import { type Answer, takeError } from "./transaction.ts";

export interface RequestSpec {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

export interface NbdConnection {
  readonly reader: ByteReader;
  write(bytes: Buffer): void;
  /** Begins to take answers, once the negotiation is over. */
  begin(): void;
  /** @throws NbdError when the server answers with an error, AppError `unavailable` when the connection ends. */
  request<T>(spec: RequestSpec, answer: Answer<T>): Promise<T>;
  /** Resolves when the connection is gone: with what the server did wrong, or null when it just ended. */
  readonly closed: Promise<string | null>;
  /** @param fault  What the server did wrong. */
  end(fault: string | null): void;
}

interface Waiter {
  readonly what: string;
  readonly answer: Answer<unknown>;
  /** The first counts: it may be told for several offsets. */
  error?: { readonly number: number; readonly message: string };
  errorChunks: number;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

const MAX_ERROR_CHUNKS = 64;

const NAMES: Readonly<Record<number, string>> = {
  [COMMAND.read]: "read",
  [COMMAND.blockStatus]: "block status",
  [COMMAND.cache]: "cache",
  [COMMAND.flush]: "flush",
};

export function createConnection(socket: Socket): NbdConnection {
  const reader = createByteReader(socket);
  const waiters = new Map<bigint, Waiter>();
  const closed = Promise.withResolvers<string | null>();
  let lastCookie = 0n;
  let lost: AppError | undefined;

  function end(fault: string | null): void {
    if (lost) return;
    const reason = fault === null ? "the connection to the NBD server ended" : `the NBD server sent ${fault}`;
    lost = new AppError("unavailable", reason);
    socket.destroy();
    for (const waiter of waiters.values()) waiter.reject(lost);
    waiters.clear();
    closed.resolve(fault);
  }
  socket.on("error", () => {}); // "close" follows and is what counts
  socket.once("close", () => end(null));

  function settle(cookie: bigint, waiter: Waiter): void {
    // What is missing ends the connection, and with it the request.
    const value = waiter.error ? undefined : waiter.answer.finish();
    waiters.delete(cookie);
    if (waiter.error) waiter.reject(new NbdError(waiter.what, waiter.error));
    else waiter.resolve(value);
  }

  async function takeReply(start: ReplyStart): Promise<void> {
    const waiter = waiters.get(start.cookie);
    if (!waiter) throw new ProtocolFault("an answer to what was not asked");
    if (start.kind === "simple") {
      if (start.error !== 0) waiter.error = { number: start.error, message: "" };
      else if (!waiter.answer.mayBeSimple) throw new ProtocolFault("an answer without structure");
      return settle(start.cookie, waiter);
    }
    const payloadBytes = (await reader.take(CHUNK_LENGTH_BYTES)).readUInt32BE();
    const chunk = { type: start.type, payloadBytes };
    if (isErrorChunk(chunk.type)) {
      const error = await takeError(chunk, reader);
      if (++waiter.errorChunks > MAX_ERROR_CHUNKS) throw new ProtocolFault("very many errors for one request");
      waiter.error ??= error;
    } else if (chunk.type === CHUNK.none) {
      if (!start.done || payloadBytes !== 0) throw new ProtocolFault("an empty chunk that is not the last");
    } else {
      await waiter.answer.take(chunk, reader);
    }
    if (start.done) settle(start.cookie, waiter);
  }

  async function receive(): Promise<void> {
    try {
      for (;;) await takeReply(decodeReplyStart(await reader.take(REPLY_START_BYTES)));
    } catch (error) {
      end(error instanceof ProtocolFault ? error.message : null);
    }
  }

  return {
    reader,
    write: (bytes) => void socket.write(bytes),
    begin: () => void receive(),
    request<T>({ type, offset, length }: RequestSpec, answer: Answer<T>) {
      if (lost) return Promise.reject(lost);
      const cookie = ++lastCookie;
      const what = `the NBD server's answer to a ${NAMES[type]} of ${length} bytes at ${offset}`;
      return new Promise<T>((resolve, reject) => {
        const take = (value: unknown) => resolve(value as T); // it is what `answer` gives
        waiters.set(cookie, { what, answer, errorChunks: 0, resolve: take, reject });
        socket.write(encodeRequest({ flags: 0, type, cookie, offset, length }));
      });
    },
    closed: closed.promise,
    end,
  };
}
