/**
 * Client of QEMU's machine protocol: JSON lines over a unix socket, one client at a time. What comes back is parsed as
 * hostile input: a guest that took over its QEMU may send anything.
 */
import { connect, type Socket } from "node:net";
import { AppError, messageOf, sleep, withDeadline } from "@mags/core";

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Qmp extends AsyncDisposable {
  /**
   * Sends a command; commands are carried out in the order of the calls.
   * @throws AppError `internal` when QEMU refuses it, `microvm_lost` when the connection ends or 30 s pass.
   */
  execute<T = unknown>(command: string, args?: Readonly<Record<string, unknown>>): Promise<T>;
  onEvent(listener: (event: QmpEvent) => void): void;
  /** Resolves when the connection is gone, which is when QEMU is gone. */
  readonly closed: Promise<void>;
}

const MAX_LINE_BYTES = 16 * 1024 * 1024;
const COMMAND_DEADLINE_MS = 30_000;

interface Waiter {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Connects to a socket that QEMU may not have made yet. */
export async function dialUnix(path: string, options: { readonly signal: AbortSignal }): Promise<Socket> {
  for (;;) {
    options.signal.throwIfAborted();
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = connect(path);
        socket.once("connect", () => {
          socket.removeListener("error", reject);
          resolve(socket);
        });
        socket.once("error", reject);
      });
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "ENOENT" && code !== "ECONNREFUSED" && code !== "EAGAIN") throw error;
      await sleep(3, options);
    }
  }
}

export async function openQmp(path: string, options: { readonly signal: AbortSignal }): Promise<Qmp> {
  const socket = await dialUnix(path, options);
  const waiters = new Map<number, Waiter>();
  const listeners: ((event: QmpEvent) => void)[] = [];
  let lastId = 0;
  let parts: Buffer[] = [];
  let partBytes = 0;
  const greeting = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();

  function receive(line: string): void {
    const message: unknown = JSON.parse(line);
    if (typeof message !== "object" || message === null) throw new Error("not an object");
    const fields = message as Record<string, unknown>;
    if ("QMP" in fields) {
      greeting.resolve();
      return;
    }
    if (typeof fields.event === "string") {
      const data =
        typeof fields.data === "object" && fields.data !== null ? (fields.data as Record<string, unknown>) : {};
      for (const listener of listeners) listener({ event: fields.event, data });
      return;
    }
    const waiter = waiters.get(fields.id as number);
    if (!waiter) return;
    waiters.delete(fields.id as number);
    if ("error" in fields) {
      const description = (fields.error as { desc?: unknown } | null)?.desc;
      waiter.reject(new AppError("internal", `QEMU refused ${waiter.command}: ${String(description)}`));
    } else waiter.resolve(fields.return);
  }

  socket.on("data", (chunk: Buffer) => {
    let rest = chunk;
    try {
      for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10)) {
        parts.push(rest.subarray(0, newline));
        const line = Buffer.concat(parts).toString("utf8");
        parts = [];
        partBytes = 0;
        rest = rest.subarray(newline + 1);
        receive(line);
      }
      if (rest.length > 0) parts.push(rest);
      partBytes += rest.length;
      if (partBytes > MAX_LINE_BYTES) throw new Error("line too long");
    } catch (error) {
      socket.destroy(new Error(`QEMU sent what is not QMP: ${messageOf(error)}`));
    }
  });
  socket.on("error", () => {}); // "close" follows and is what counts
  socket.once("close", () => {
    const lost = new AppError("microvm_lost", "the connection to QEMU ended");
    for (const waiter of waiters.values()) waiter.reject(lost);
    waiters.clear();
    greeting.reject(lost);
    closed.resolve();
  });

  const qmp: Qmp = {
    execute<T>(command: string, args?: Readonly<Record<string, unknown>>): Promise<T> {
      if (socket.destroyed) return Promise.reject(new AppError("microvm_lost", `QEMU is gone: ${command} not sent`));
      const id = ++lastId;
      const reply = new Promise<unknown>((resolve, reject) => waiters.set(id, { command, resolve, reject }));
      socket.write(`${JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) })}\n`);
      return withDeadline(reply as Promise<T>, COMMAND_DEADLINE_MS, () => {
        waiters.delete(id);
        return new AppError("microvm_lost", `QEMU did not answer ${command} within ${COMMAND_DEADLINE_MS / 1000} s`);
      });
    },
    onEvent: (listener) => void listeners.push(listener),
    closed: closed.promise,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed.promise;
    },
  };

  try {
    await withDeadline(greeting.promise, 10_000, () => new AppError("microvm_lost", "QEMU sent no QMP greeting"));
    await qmp.execute("qmp_capabilities");
    return qmp;
  } catch (error) {
    await qmp[Symbol.asyncDispose]();
    throw error;
  }
}
