import type { IncomingMessage } from "node:http";
import { clientError, type MagsError } from "./errors.ts";
import { networkError } from "./network-error.ts";
import { isPassing, pauseBeforeRetry } from "./reconnect.ts";
import type { ApiRequest, Transport } from "./transport.ts";

export interface ReadFileOptions {
  /** Bytes to leave out at the beginning. */
  readonly offset?: number | undefined;
  /** How long a lost connection is tried again, in ms. Default: 60000. */
  readonly reconnectTimeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A file that is being read. */
export interface FileDownload {
  /** Of the whole file; undefined where only reading tells, as in /proc. */
  readonly size: number | undefined;
  /** Permission bits. */
  readonly mode: number;
  readonly mtimeMs: number;
  /** To be read once, to its end or until it is no longer wanted. */
  readonly content: AsyncGenerator<Uint8Array, void, void>;
}

const DEFAULT_RECONNECT_TIMEOUT_MS = 60_000;

/**
 * Reads a file of a job's VM. A connection that breaks is made again and goes on after the last byte that arrived.
 * @throws MagsError `connection_lost` when the server does not come back in time, or the file has changed meanwhile.
 */
export async function readFile(
  transport: Transport,
  request: Pick<ApiRequest, "path" | "query">,
  options: ReadFileOptions,
): Promise<FileDownload> {
  const { signal, offset = 0, reconnectTimeout = DEFAULT_RECONNECT_TIMEOUT_MS } = options;
  const open = (from: number, tag?: string) =>
    transport.open({
      ...request,
      method: "GET",
      headers: { ...(from > 0 && { range: `bytes=${from}-` }), ...(tag !== undefined && { "if-range": tag }) },
      signal,
    });
  const first = await open(offset);
  const tag = first.headers.etag;
  const size = sizeOf(first);

  async function* content(): AsyncGenerator<Uint8Array, void, void> {
    let position = offset;
    let reply: IncomingMessage | undefined = first;
    let lostAtMs: number | undefined;
    for (let failures = 0; ; ) {
      try {
        reply ??= await open(position, tag);
        if (position > 0 && reply.statusCode !== 206 && (size === undefined || position < size)) throw changed();
        for await (const piece of reply as AsyncIterable<Uint8Array>) {
          position += piece.length;
          lostAtMs = undefined;
          failures = 0;
          yield piece;
        }
        return;
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        const lost: unknown = reply && !isMags(error) ? networkError(error, transport.apiUrl) : error;
        if (!isPassing(lost) || tag === undefined) throw lost;
        if (size !== undefined && position >= size) return;
        lostAtMs ??= performance.now();
        if (performance.now() - lostAtMs >= reconnectTimeout) throw notBack(lost);
        await pauseBeforeRetry(failures++, signal);
      } finally {
        reply?.destroy();
        reply = undefined;
      }
    }
  }

  function notBack(lost: MagsError): MagsError {
    const seconds = reconnectTimeout / 1000;
    return clientError(
      "connection_lost",
      `lost the connection to ${transport.apiUrl} and could not go on for ${seconds} s: ${lost.message}`,
      lost,
    );
  }

  return {
    size,
    mode: Number.parseInt(headerOf(first, "x-mags-mode") ?? "644", 8),
    mtimeMs: Number(headerOf(first, "x-mags-mtime") ?? 0) * 1000,
    content: content(),
  };
}

function changed(): MagsError {
  return clientError("connection_lost", "the file has changed since its beginning was read: read it again");
}

function isMags(error: unknown): boolean {
  return error instanceof Error && error.name === "MagsError";
}

function headerOf(reply: IncomingMessage, name: string): string | undefined {
  const value = reply.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function sizeOf(reply: IncomingMessage): number | undefined {
  const text = /\/(\d+)$/.exec(headerOf(reply, "content-range") ?? "")?.[1] ?? headerOf(reply, "content-length");
  return text === undefined ? undefined : Number(text);
}
