/**
 * Client of QEMU's machine protocol: JSON lines over a unix socket, one client at a time. What comes back is hostile input:
 * a guest that took over its QEMU may send anything. What is not QMP, was not asked for, or comes without end, ends the
 * connection with a reason; whoever owns the microVM ends that, too.
 */
import { randomInt } from "node:crypto";
import type { Socket } from "node:net";
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
  /**
   * As `execute`, for a command that takes a descriptor, which this process cannot send: `send` has another one do it, this
   * message in one piece over this connection, and resolves when it is done. Nothing else is sent meanwhile.
   */
  executeWith(
    command: string,
    args: QmpArguments,
    send: (connection: Socket, message: string) => Promise<unknown>,
  ): Promise<void>;
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

/** A number stays exact, however many commands follow. */
const MAX_FIRST_ID = 2 ** 47;

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
  /** Numbers of commands are this connection's own. */
  const firstId = randomInt(MAX_FIRST_ID);
  let lastId = firstId;
  let strays = 0;
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

  /** QEMU gives the answer to the command that it was at when its last client went to the next one. */
  function isStray(id: number): boolean {
    return (id <= firstId || id > lastId) && ++strays === 1;
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
    if (message.kind !== "event" && isStray(message.id)) return;
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

  /** Waits for the answer to a message that is to be sent. */
  function expect(command: string, args?: QmpArguments) {
    const id = ++lastId;
    const answer = new Promise<unknown>((resolve, reject) => waiters.set(id, { command, resolve, reject }));
    return {
      id,
      answer,
      message: `${JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) })}\n`,
    };
  }

  const inTime = <T>(command: string, answer: Promise<T>) =>
    withDeadline(answer, commandDeadlineMs, () => {
      const late = `did not answer ${command} within ${commandDeadlineMs / 1000} s`;
      end(late);
      return new AppError("microvm_lost", `QEMU ${late}`);
    });

  function mustLive(command: string): void {
    if (over) throw new AppError("microvm_lost", `QEMU is gone: ${command} not sent`);
  }

  async function ask(command: string, args?: QmpArguments): Promise<unknown> {
    mustLive(command);
    const { answer, message } = expect(command, args);
    socket.write(message);
    return await inTime(command, answer);
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
    async executeWith(command, args, send) {
      // While somebody else writes, nothing of an earlier command may be on its way: a newline tells when it is not.
      await inTime(command, new Promise<void>((resolve) => socket.write("\n", () => resolve())));
      mustLive(command);
      const { id, answer, message } = expect(command, args);
      answer.catch(() => {}); // nobody waits for it yet
      socket.cork();
      try {
        await send(socket, message);
      } catch (error) {
        waiters.delete(id);
        throw error;
      } finally {
        socket.uncork();
      }
      await inTime(command, answer);
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
