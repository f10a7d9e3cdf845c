/** One client's WebSocket to one streamed command. The messages are described in docs/formats/exec-stream.md. */
import { constants } from "node:os";
import { execs } from "@mags/api-schema";
import { AppError, isAppError } from "@mags/core";
import { type ExecAttachment, INPUT_WINDOW_BYTES, type TerminalSize } from "@mags/domain";
import type { RawData, WebSocket } from "ws";
import { parsePart } from "../http/validation.ts";
import { close } from "../http/web-socket.ts";
import { decodeInput, encodeOutput } from "./exec-frames.ts";

const NORMAL = 1000;
/** Close codes of errors are their HTTP status more than this. */
const ERROR_CODES = 4000;
const MAX_REASON_BYTES = 123;
/** A client of which nothing is heard for so many heartbeats is gone. */
const SILENT_BEATS = 3;

export interface ConversationOptions {
  readonly heartbeatMs: number;
  /** Aborts when the server ends. */
  readonly signal: AbortSignal;
  /** The client begins with a message, within this time. Null: it begins with none. */
  readonly firstMs: number | null;
  readonly open: (first: string | null) => Promise<ExecAttachment>;
}

/** Resolves when it is over. The command is left to itself then, unless the client said otherwise. */
export async function converse(socket: WebSocket, options: ConversationOptions): Promise<void> {
  const over = new AbortController();
  const first = Promise.withResolvers<string | null>();
  first.promise.catch(() => {});
  let heardMs = performance.now();
  let attachment: ExecAttachment | undefined;
  let client: ReturnType<typeof createClient> | undefined;

  function leave(error?: unknown): void {
    if (isAppError(error)) {
      send(socket, { type: "error", error: error.message, code: error.code });
      close(socket, ERROR_CODES + error.status, shortened(error.message));
    }
    over.abort(error);
    first.reject(error);
  }

  function onMessage(data: RawData, isBinary: boolean): void {
    heardMs = performance.now();
    if (socket.readyState !== socket.OPEN) return;
    try {
      if (client)
        client.take(data as Buffer, isBinary); // of the binary type nodebuffer
      else if (isBinary || waitsForFirst === false)
        throw new AppError("validation_failed", "wait for the message started before sending more");
      else first.resolve(data.toString());
      waitsForFirst = false;
    } catch (error) {
      leave(error);
    }
  }

  let waitsForFirst = options.firstMs !== null;
  if (!waitsForFirst) first.resolve(null);
  const late = setTimeout(() => first.resolve(""), options.firstMs ?? 0);
  const beat = setInterval(() => {
    if (performance.now() - heardMs > SILENT_BEATS * options.heartbeatMs) socket.terminate();
    else socket.ping();
  }, options.heartbeatMs);
  const onPong = () => {
    heardMs = performance.now();
  };
  socket.on("pong", onPong).on("ping", onPong).on("message", onMessage);
  socket.on("close", () => leave());

  try {
    attachment = await options.open(await first.promise);
    if (over.signal.aborted) return;
    attachment.onTakenOver(leave);
    client = createClient(socket, attachment);
    await client.sendOutput(over.signal);
    if (!over.signal.aborted) await new Promise((resolve) => over.signal.addEventListener("abort", resolve));
  } catch (error) {
    if (over.signal.aborted || options.signal.aborted) return;
    if (!isAppError(error)) throw error;
    leave(error);
  } finally {
    clearTimeout(late);
    clearInterval(beat);
    attachment?.detach();
  }
}

/** @throws AppError `validation_failed` */
export function parseMessage(text: string): execs.ExecClientMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("validation_failed", "a text message must be JSON", { cause });
  }
  return parsePart(execs.ExecClientMessage, value, "message") as execs.ExecClientMessage; // as the schema says
}

/** A size that is not known is the usual one. */
export function toSize({ rows, cols }: TerminalSize): TerminalSize {
  return { rows: rows || 24, cols: cols || 80 };
}

function createClient(socket: WebSocket, attachment: ExecAttachment) {
  let sent = 0;
  let acknowledged = 0;
  let ended = false;
  let room = Promise.withResolvers<void>();

  function onControl(message: execs.ExecClientMessage): void {
    switch (message.type) {
      case "start":
        throw new AppError("validation_failed", "this connection has a command already");
      case "ack":
        if (message.offset > sent) throw new AppError("validation_failed", "output was acknowledged that was not sent");
        acknowledged = Math.max(acknowledged, message.offset);
        attachment.acknowledge(acknowledged);
        room.resolve();
        return;
      case "stdin_end":
        attachment.endInput(message.offset);
        return;
      case "resize":
        attachment.resize(toSize(message));
        return;
      case "signal":
        attachment.signal(constants.signals[message.signal]);
        return;
      case "hangup":
        attachment.hangUp();
        close(socket, NORMAL, "hung up");
        return;
      case "done":
        if (!ended) throw new AppError("validation_failed", "the command has not ended");
        attachment.forget();
        close(socket, NORMAL, "done");
        return;
      default:
        message satisfies never;
    }
  }

  return {
    take(data: Buffer, isBinary: boolean): void {
      if (isBinary) attachment.write(decodeInput(data));
      else onControl(parseMessage(data.toString()));
    },

    /** Until the end of the command was sent. Sends no more than the window ahead of the client. */
    async sendOutput(over: AbortSignal): Promise<void> {
      attachment.onInputTaken((offset) => send(socket, { type: "stdin_ack", offset }));
      attachment.onNotice((text) => send(socket, { type: "notice", text }));
      const onOver = () => {
        attachment.detach();
        room.resolve();
      };
      over.addEventListener("abort", onOver, { once: true });
      send(socket, {
        ...{ type: "started", exec_id: attachment.execId, stdin_window: INPUT_WINDOW_BYTES },
        ...{ stdin_offset: attachment.inputOffset, stdin_taken: attachment.inputTaken },
      });
      for (let outputs = await attachment.read(); outputs.length > 0; outputs = await attachment.read()) {
        if (sent === 0) acknowledged = outputs[0]?.offset ?? 0;
        for (const output of outputs) {
          socket.send(encodeOutput(output));
          sent = output.offset + output.bytes.length;
        }
        while (sent - acknowledged >= execs.OUTPUT_WINDOW_BYTES && !over.aborted) {
          room = Promise.withResolvers();
          await room.promise;
        }
      }
      const { end } = attachment;
      if (!end) throw new AppError("unavailable", "the output of the command ended before the command");
      ended = true;
      const { exitCode, signal, timedOut, lost } = end;
      send(socket, {
        ...{ type: "end", exit_code: exitCode, signal: signal === null ? null : nameOf(signal) },
        ...{ timed_out: timedOut, reason: lost },
      });
    },
  };
}

function send(socket: WebSocket, message: execs.ExecServerMessage): void {
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
}

function nameOf(signo: number): string {
  const found = Object.entries(constants.signals).find(([, number]) => number === signo);
  return found?.[0] ?? `signal ${signo}`;
}

/** As long as a close frame may be, cut between characters. */
function shortened(text: string): string {
  let bytes = Buffer.from(text);
  if (bytes.length > MAX_REASON_BYTES) bytes = bytes.subarray(0, MAX_REASON_BYTES - 4);
  return bytes.toString().replace(/\ufffd+$/, "");
}
