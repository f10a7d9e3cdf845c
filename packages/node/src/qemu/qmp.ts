/**
 * Client of QEMU's machine protocol: JSON lines over a unix socket, one client at a time. What comes back is hostile input:
 * a guest that took over its QEMU may send anything. What is not QMP, was not asked for, or comes without end, ends the
 * connection with a reason; whoever owns the microVM ends that, too.
 */
import { AppError, messageOf, withDeadline } from "@mags/core";
import type { z } from "zod";
import { createAllowance } from "../allowance.ts";
import { dialUnix } from "./dial-unix.ts";
import { createLineSplitter } from "./line-splitter.ts";
import { decodeQmpMessage, type QmpEvent } from "./qmp-message.ts";

export interface Qmp extends AsyncDisposable {
  /**
   * Sends a command; commands are carried out in the order of the calls.
   * @throws AppError `internal` when QEMU refuses it, `microvm_lost` when the connection ends, also because 30 s passed.
   */
  execute(command: string, args?: QmpArguments): Promise<void>;
  /** As `execute`, for a command whose answer matters. An answer that does not fit `reply` ends the connection. */
  query<T>(command: string, reply: z.ZodType<T>, args?: QmpArguments): Promise<T>;
  onEvent(listener: (event: QmpEvent) => void): void;
  /** Resolves when the connection is gone: with what QEMU did wrong, or with null when it just ended. */
  readonly closed: Promise<string | null>;
}

export type QmpArguments = Readonly<Record<string, unknown>>;

/** The longest answer is the console's 64 KiB in base64. */
const MAX_LINE_BYTES = 128 * 1024;
const COMMAND_DEADLINE_MS = 30_000;
const GREETING_DEADLINE_MS = 10_000;
/** Only events come unasked. Each is charged its bytes and this: so 1 000 at once, then 62 a second, are too many. */
const EVENT_COST_BYTES = 4_096;
const EVENT_BYTES_PER_SECOND = 256 * 1024;
const EVENT_BURST_BYTES = 4 * 1024 * 1024;
/** Charged their bytes alone: each request in a guest's queue of 256 can fail in every second that its disk is full. */
const EVENTS_IN_CROWDS: ReadonlySet<string> = new Set(["BLOCK_IO_ERROR"]);

interface Waiter {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export async function openQmp(
  path: string,
  options: { readonly signal: AbortSignal; readonly commandDeadlineMs?: number },
): Promise<Qmp> {
  const { commandDeadlineMs = COMMAND_DEADLINE_MS } = options;
  const socket = await dialUnix(path, options);
  const waiters = new Map<number, Waiter>();
  const listeners: ((event: QmpEvent) => void)[] = [];
  const lines = createLineSplitter(MAX_LINE_BYTES);
  const events = createAllowance({
    perSecond: EVENT_BYTES_PER_SECOND,
    burst: EVENT_BURST_BYTES,
    nowMs: () => performance.now(),
  });
  const greeting = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<string | null>();
  let lastId = 0;
  let greeted = false;
  let over = false;

  /** @param reason  What QEMU did wrong. */
  function end(reason: string | null): void {
    if (over) return;
    over = true;
    socket.destroy();
    const lost = new AppError("microvm_lost", reason === null ? "the connection to QEMU ended" : `QEMU ${reason}`);
    for (const waiter of waiters.values()) waiter.reject(lost);
    waiters.clear();
    greeting.reject(lost);
    closed.resolve(reason);
  }

  function receive(line: string): void {
    if (over) return;
    const message = decodeQmpMessage(line);
    if (message.kind === "greeting") {
      if (greeted) throw new Error("a second greeting");
      greeted = true;
      greeting.resolve();
      return;
    }
    if (!greeted) throw new Error("something before its greeting");
    if (message.kind === "event") {
      const cost = EVENTS_IN_CROWDS.has(message.event) ? 0 : EVENT_COST_BYTES;
      if (events.spend(line.length + cost) > 0) throw new Error("events without end");
      for (const listener of listeners) listener(message);
      return;
    }
    const waiter = waiters.get(message.id);
    if (!waiter) throw new Error("an answer to what was not asked");
    waiters.delete(message.id);
    if (message.kind === "reply") waiter.resolve(message.value);
    else waiter.reject(new AppError("internal", `QEMU refused ${waiter.command}: ${message.description}`));
  }

  socket.on("data", (chunk: Buffer) => {
    try {
      lines.push(chunk, receive);
    } catch (error) {
      end(`sent ${messageOf(error)}`);
    }
  });
  socket.on("error", () => {}); // "close" follows and is what counts
  socket.once("close", () => end(null));

  function ask(command: string, args?: QmpArguments): Promise<unknown> {
    if (over) return Promise.reject(new AppError("microvm_lost", `QEMU is gone: ${command} not sent`));
    const id = ++lastId;
    const reply = new Promise<unknown>((resolve, reject) => waiters.set(id, { command, resolve, reject }));
    socket.write(`${JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) })}\n`);
    return withDeadline(reply, commandDeadlineMs, () => {
      const late = `did not answer ${command} within ${commandDeadlineMs / 1000} s`;
      end(late);
      return new AppError("microvm_lost", `QEMU ${late}`);
    });
  }

  const qmp: Qmp = {
    async execute(command, args) {
      await ask(command, args);
    },
    async query(command, reply, args) {
      const answer = reply.safeParse(await ask(command, args));
      if (answer.success) return answer.data;
      const odd = `gave an answer to ${command} that makes no sense`;
      end(odd);
      throw new AppError("microvm_lost", `QEMU ${odd}`);
    },
    onEvent: (listener) => void listeners.push(listener),
    closed: closed.promise,
    async [Symbol.asyncDispose]() {
      end(null);
    },
  };

  try {
    const late = () => new AppError("microvm_lost", "QEMU sent no QMP greeting");
    await withDeadline(greeting.promise, Math.min(GREETING_DEADLINE_MS, commandDeadlineMs), late);
    await qmp.execute("qmp_capabilities");
    return qmp;
  } catch (error) {
    end(null);
    throw error;
  }
}
