/**
 * Client of one NBD export. The server may be hostile: what it sends is checked and bounded, and what the protocol does
 * not allow ends the connection with a reason. It may lie about contents, which nobody can check here.
 */
import { connect, type Socket } from "node:net";
import { AppError, createGate, untilAborted } from "@mags/core";
import { ProtocolFault } from "../protocol/fault.ts";
import { encodeRequest } from "../protocol/requests.ts";
import { COMMAND, TRANSMISSION } from "../protocol/values.ts";
import type { BlockSizes } from "./block-sizes.ts";
import { createConnection, type NbdConnection } from "./connection.ts";
import { type NegotiatedExport, negotiate } from "./negotiate.ts";
import { createReadAnswer } from "./read-answer.ts";
import { createStatusAnswer, type NbdExtent } from "./status-answer.ts";
import { DONE } from "./transaction.ts";

export interface NbdClient extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly blockSizes: BlockSizes;
  /** Longest `read`. */
  readonly maxReadBytes: number;
  /** Those of the contexts asked for that the server has. */
  readonly contexts: readonly string[];
  /**
   * Reads so many bytes into a new buffer; holes are zeros. Many calls may be made at once: some are under way at a time, the
   * others wait. May be repeated.
   * @throws NbdError when the server answers with an error, AppError `unavailable` when the connection ends, RangeError
   * for what is outside of the export, longer than `maxReadBytes` or not at multiples of the smallest block.
   */
  read(offset: number, length: number, options?: { readonly signal?: AbortSignal }): Promise<Buffer>;
  /**
   * Asks for extents from `offset` on, in one context.
   * @returns at least one, together at most `length`; where they end earlier, ask again from there. Throws as `read`.
   */
  blockStatus(
    offset: number,
    length: number,
    options: { readonly context: string; readonly signal?: AbortSignal },
  ): Promise<readonly NbdExtent[]>;
  /**
   * Has the server bring a range to where it is read fastest: of a disk that stands on another, onto the disk itself. Nothing
   * is sent of it. At most `maxReadBytes`. May be repeated. Throws as `read`, and AppError `internal` when the server has no
   * such command.
   */
  cache(offset: number, length: number, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** What the server has done before is on stable storage when it resolves. Throws as `cache`. */
  flush(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Waits for what is under way, says goodbye and closes. Dispose closes at once. */
  disconnect(): Promise<void>;
  /** Resolves when the connection is gone: with what the server did wrong ("a piece twice"), or null when it just ended. */
  readonly closed: Promise<string | null>;
}

export interface NbdClientOptions {
  readonly exportName: string;
  /** Contexts for `blockStatus`, by their full names. Default: none. */
  readonly contexts?: readonly string[];
  /** Ends connecting and negotiating. */
  readonly signal: AbortSignal;
  /** Requests that may be under way at once, each with a buffer of its length. Default 8. */
  readonly maxInFlight?: number;
}

const MAX_READ_BYTES = 4 * 1024 ** 2;
const MAX_STATUS_BYTES = 2 ** 32 - 1;

/**
 * Connects to a unix socket and negotiates one export.
 * @throws AppError `unavailable` when nobody answers or the server does not speak the protocol, `internal` when it refuses:
 * no such export, say; the signal's reason.
 */
export async function connectNbd(path: string, options: NbdClientOptions): Promise<NbdClient> {
  const { signal, exportName, contexts = [] } = options;
  signal.throwIfAborted();
  const socket = connect(path);
  const connection = createConnection(socket);
  try {
    await untilAborted(connected(socket, path), signal);
    const choice = { exportName, contexts };
    const negotiated = await untilAborted(negotiate(connection.reader, connection.write, choice), signal);
    connection.begin();
    return createClient(socket, connection, { negotiated, maxInFlight: options.maxInFlight ?? 8 });
  } catch (error) {
    connection.end(null);
    if (signal.aborted || error instanceof AppError) throw error;
    const what = error instanceof ProtocolFault ? `the server sent ${error.message}` : "the connection ended";
    throw new AppError("unavailable", `negotiating the NBD export "${exportName}" failed: ${what}`, { cause: error });
  }
}

function connected(socket: Socket, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (cause) =>
      reject(new AppError("unavailable", `the NBD server at ${path} cannot be reached: ${cause.message}`, { cause })),
    );
    socket.once("close", () => reject(new AppError("unavailable", `the NBD server at ${path} cannot be reached`)));
  });
}

function createClient(
  socket: Socket,
  connection: NbdConnection,
  { negotiated, maxInFlight }: { readonly negotiated: NegotiatedExport; readonly maxInFlight: number },
): NbdClient {
  const { sizeBytes, readOnly, blockSizes, flags } = negotiated;
  const allContexts = new Set(negotiated.contexts.values());
  const maxReadBytes = Math.min(blockSizes.maximum, MAX_READ_BYTES);
  const gate = createGate(maxInFlight);
  let leaving = false;

  function check(offset: number, length: number, most: number): void {
    const within = offset >= 0 && length > 0 && length <= most && offset + length <= sizeBytes;
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || !within)
      throw new RangeError(`${length} bytes at ${offset} of an export of ${sizeBytes}, at most ${most} at once`);
    if (offset % blockSizes.minimum !== 0 || length % blockSizes.minimum !== 0)
      throw new RangeError(`${length} bytes at ${offset} are not whole blocks of ${blockSizes.minimum}`);
    if (leaving) throw new AppError("unavailable", "the connection to the NBD server is being closed");
  }

  function needs(command: string, flag: number): void {
    if ((flags & flag) === 0) throw new AppError("internal", `the NBD server has no command "${command}"`);
  }

  /** A request that is given up keeps its place until it is answered: what is held stays bounded. */
  async function ask<T>(send: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const leave = await gate.enter(signal ? { signal } : {});
    const answer = send().finally(leave);
    return signal ? untilAborted(answer, signal) : answer;
  }

  return {
    sizeBytes,
    readOnly,
    blockSizes,
    maxReadBytes,
    contexts: [...negotiated.contexts.keys()],
    async read(offset, length, { signal } = {}) {
      check(offset, length, maxReadBytes);
      const range = { offset, length };
      return await ask(() => connection.request({ type: COMMAND.read, ...range }, createReadAnswer(range)), signal);
    },
    async blockStatus(offset, length, { context, signal }) {
      check(offset, length, sizeBytes);
      const wanted = negotiated.contexts.get(context);
      if (wanted === undefined) throw new AppError("internal", `the NBD server has no context "${context}"`);
      const block = blockSizes.minimum;
      const range = { offset, length: Math.min(length, MAX_STATUS_BYTES - (MAX_STATUS_BYTES % block)) };
      const answer = () => createStatusAnswer({ ...range, blockBytes: block }, { wanted, all: allContexts });
      return await ask(() => connection.request({ type: COMMAND.blockStatus, ...range }, answer()), signal);
    },
    async cache(offset, length, { signal } = {}) {
      check(offset, length, maxReadBytes);
      needs("cache", TRANSMISSION.sendCache);
      await ask(() => connection.request({ type: COMMAND.cache, offset, length }, DONE), signal);
    },
    async flush({ signal } = {}) {
      needs("flush", TRANSMISSION.sendFlush);
      await ask(() => connection.request({ type: COMMAND.flush, offset: 0, length: 0 }, DONE), signal);
    },
    async disconnect() {
      leaving = true;
      const leaves = await Promise.all(Array.from({ length: maxInFlight }, () => gate.enter()));
      const goodbye = encodeRequest({ flags: 0, type: COMMAND.disconnect, cookie: 0n, offset: 0, length: 0 });
      await new Promise<void>((resolve) => socket.write(goodbye, () => resolve()));
      connection.end(null);
      for (const leave of leaves) leave();
    },
    closed: connection.closed,
    async [Symbol.asyncDispose]() {
      connection.end(null);
    },
  };
}
