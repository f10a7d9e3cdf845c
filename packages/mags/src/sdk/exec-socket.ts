/** One WebSocket of the streamed exec. Its messages are described in docs/formats/exec-stream.md. */
import type { execs } from "@mags/api-schema";
import type { WebSocket } from "ws";
import { deferred } from "./deferred.ts";
import { clientError, MagsError } from "./errors.ts";
import { networkError } from "./network-error.ts";
import { replyError } from "./reply-error.ts";
import type { Transport } from "./transport.ts";

type ServerMessage = execs.ExecServerMessage;
type Started = Extract<ServerMessage, { type: "started" }>;
export type ExecEndMessage = Extract<ServerMessage, { type: "end" }>;

export interface ExecOutputMessage {
  readonly type: "output";
  readonly source: "stdout" | "stderr";
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface ExecSocket {
  /** Output in order, then the end. Throws MagsError when the server refuses or the connection is lost. */
  next(): Promise<ExecOutputMessage | ExecEndMessage>;
  send(message: Readonly<Record<string, unknown>>): void;
  input(offset: number, bytes: Buffer): void;
  /** Output before `offset` was passed on. */
  consumed(offset: number): void;
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
  close(): void;
}

/** Told at once, however slowly output is read. */
export interface ExecListeners {
  readonly onStarted: (message: Started) => void;
  readonly onStdinTaken: (offset: number) => void;
  readonly onNotice: (text: string) => void;
}

const PROTOCOL = "mags-exec.v1";
const HEADER_BYTES = 9;
const STDERR = 2;
const ERROR_CODES = 4000;
/** The server lets the client be 1 MiB behind. */
const ACK_BYTES = 256 * 1024;
/** The server pings every 15 s; a connection that stays silent for three of them is dead. */
const SILENCE_LIMIT_MS = 45_000;

/** @param first  What is sent first. Rejects with MagsError; the signal's reason when aborted. */
export async function connectExec(
  transport: Transport,
  path: string,
  first: Readonly<Record<string, unknown>> | undefined,
  { onStarted, onStdinTaken, onNotice }: ExecListeners,
): Promise<ExecSocket> {
  const { WebSocket } = await import("ws");
  const { apiUrl, headers, timeoutMs } = transport;
  const socket = new WebSocket(`${apiUrl.replace(/^http/, "ws")}/api/v1${path}`, PROTOCOL, {
    headers,
    handshakeTimeout: timeoutMs,
    perMessageDeflate: false,
  });
  const opened = deferred<void>();
  const closed = deferred<void>();
  const queue: (ExecOutputMessage | ExecEndMessage)[] = [];
  let failure: unknown;
  let refusal: Extract<ServerMessage, { type: "error" }> | undefined;
  let arrived = deferred<void>();
  let acknowledged = 0;
  let silence: NodeJS.Timeout | undefined;

  function fail(error: unknown): void {
    failure ??= error;
    opened.reject(failure);
    arrived.resolve();
  }

  function heard(): void {
    clearTimeout(silence);
    silence = setTimeout(() => socket.terminate(), SILENCE_LIMIT_MS);
  }

  function take(data: Buffer, isBinary: boolean): void {
    heard();
    if (isBinary) {
      const source = data[0] === STDERR ? "stderr" : "stdout";
      queue.push({
        type: "output",
        source,
        offset: Number(data.readBigUInt64LE(1)),
        bytes: data.subarray(HEADER_BYTES),
      });
    } else {
      const message = JSON.parse(data.toString()) as ServerMessage;
      if (message.type === "started") onStarted(message);
      else if (message.type === "stdin_ack") onStdinTaken(message.offset);
      else if (message.type === "notice") onNotice(message.text);
      else if (message.type === "error") refusal = message;
      else if (message.type === "end") queue.push(message);
    }
    arrived.resolve();
  }

  socket.on("unexpected-response", (_request, reply) => {
    const chunks: Buffer[] = [];
    reply.on("data", (chunk: Buffer) => chunks.push(chunk));
    reply.on("close", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      fail(replyError({ statusCode: reply.statusCode ?? 0, text, retryAfter: reply.headers["retry-after"] }, apiUrl));
      socket.terminate();
    });
  });
  socket.on("error", (error) => fail(networkError(error, apiUrl)));
  socket.on("ping", heard);
  socket.on("open", () => {
    heard();
    if (first) socket.send(JSON.stringify(first));
    opened.resolve();
  });
  socket.on("message", (data: Buffer, isBinary) => {
    try {
      take(data, isBinary);
    } catch (error) {
      fail(clientError("unexpected_reply", `the answer of ${apiUrl} is not that of a Mags server`, error));
    }
  });
  socket.on("close", (code, reason) => {
    clearTimeout(silence);
    closed.resolve();
    fail(
      refusal
        ? new MagsError(refusal.error, { code: refusal.code, statusCode: code - ERROR_CODES })
        : clientError(
            "unreachable",
            `the connection to ${apiUrl} ended early${reason.length > 0 ? `: ${reason}` : ""}`,
          ),
    );
  });

  await opened.promise;
  const send = (data: string | Buffer) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(data);
  };
  return {
    closed: closed.promise,
    async next() {
      for (;;) {
        const message = queue.shift();
        if (message) return message;
        if (failure !== undefined) throw failure;
        arrived = deferred();
        await arrived.promise;
      }
    },
    send: (message) => send(JSON.stringify(message)),
    input(offset, bytes) {
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeBigUInt64LE(BigInt(offset), 1);
      send(Buffer.concat([header, bytes]));
    },
    consumed(offset) {
      if (offset - acknowledged < ACK_BYTES) return;
      acknowledged = offset;
      send(JSON.stringify({ type: "ack", offset }));
    },
    close: () => shut(socket),
  };
}

function shut(socket: WebSocket): void {
  socket.close();
  const timer = setTimeout(() => socket.terminate(), 1_000);
  socket.on("close", () => clearTimeout(timer));
}
