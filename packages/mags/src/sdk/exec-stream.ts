/**
 * A command whose input and output are streamed. It goes on when the connection is lost: a new one takes it up at the
 * byte where the old one ended, in both directions.
 */
import { randomUUID } from "node:crypto";
import { deferred } from "./deferred.ts";
import { clientError, MagsError } from "./errors.ts";
import { connectExec, type ExecListeners, type ExecSocket } from "./exec-socket.ts";
import { createExecStdin } from "./exec-stdin.ts";
import { jobPath } from "./job-path.ts";
import { isPassing, pauseBeforeRetry } from "./reconnect.ts";
import type { Transport } from "./transport.ts";

/** 0, which terminals say that do not know their size, is 24 rows or 80 columns. */
export interface ExecTerminal {
  readonly rows: number;
  readonly cols: number;
  /** Kind of terminal, as in `TERM`. Default: `xterm`. */
  readonly term?: string | undefined;
}

export interface ExecStreamOptions {
  /** Run it in a terminal of this size: input and output are those of the terminal. */
  readonly tty?: ExecTerminal | undefined;
  /** Input will be written. Default: only with `tty`. */
  readonly stdin?: boolean | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Default: /root. */
  readonly cwd?: string | undefined;
  /** How long it may run, in ms; its exit code is 124 then. Default: no limit. */
  readonly timeout?: number | undefined;
  /** How long a lost connection is tried again, in ms. Default: 60000. */
  readonly reconnectTimeout?: number | undefined;
  /** Called at each failed try to make a lost connection again, once it has been away for half a second. */
  readonly onConnectionLost?: ((error: MagsError) => void) | undefined;
  /** Called with what is to be known of the VM, for people: it waits for room on its host's disk, say. */
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Aborting hangs up. */
  readonly signal?: AbortSignal | undefined;
}

export interface ExecPiece {
  /** Always `stdout` in a terminal. */
  readonly source: "stdout" | "stderr";
  readonly bytes: Buffer;
}

export interface ExecExit {
  /** 128 + signal number when a signal ended it; 124 on time-out; 137 when its VM was lost. */
  readonly exitCode: number;
  /** Name of the signal that ended it. */
  readonly signal: string | undefined;
  readonly timedOut: boolean;
  /** Why its own exit is not known, if it is not. */
  readonly reason: string | undefined;
}

/** Iterate over it for its output, once; what is not read makes the command wait. */
export interface ExecStream extends AsyncIterable<ExecPiece> {
  /** Resolves when it runs. */
  readonly started: Promise<void>;
  /** Resolves when it has ended and its output was read. */
  readonly ended: Promise<ExecExit>;
  /** Resolves when there is room for more. The bytes must not change afterwards. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** End of input. */
  end(): void;
  resize(size: { readonly rows: number; readonly cols: number }): void;
  /** To its process group: `SIGINT`. */
  kill(signal: string): void;
  /** Leaves it for good: SIGHUP, and SIGKILL after 10 s. Resolves when the server knows, or after a second. */
  hangUp(): Promise<void>;
}

const DEFAULT_RECONNECT_TIMEOUT_MS = 60_000;
const NOTICE_AFTER_MS = 500;
const NO_VM_TIMEOUT_MS = 30_000;
const HANG_UP_MS = 1_000;

function sizeOf({ rows, cols }: Pick<ExecTerminal, "rows" | "cols">) {
  return { rows: rows || 24, cols: cols || 80 };
}

export function execStream(
  transport: Transport,
  nameOrId: string,
  command: string | undefined,
  options: ExecStreamOptions,
): ExecStream {
  const { signal, reconnectTimeout = DEFAULT_RECONNECT_TIMEOUT_MS } = options;
  const execId = randomUUID();
  const started = deferred<void>();
  const ended = deferred<ExecExit>();
  const stdin = createExecStdin();
  let socket: ExecSocket | undefined;
  /** Bytes of output that were passed on. */
  let offset = 0;
  let size = options.tty && sizeOf(options.tty);
  let hungUp = false;
  /** The server has said that it runs. */
  let known = false;
  /** It may have been started, though nobody said so. */
  let asked = false;
  let lostAt: number | undefined;
  let failures = 0;

  function startMessage(): Readonly<Record<string, unknown>> {
    return {
      type: "start",
      exec_id: execId,
      command,
      tty: options.tty && { ...options.tty, ...size },
      stdin: options.stdin ?? options.tty !== undefined,
      environment: options.environment,
      cwd: options.cwd,
      timeout: options.timeout === undefined ? undefined : options.timeout / 1000,
    };
  }

  /** Passes on output until the command ends or the connection does. */
  async function* converse(): AsyncGenerator<ExecPiece, ExecExit, void> {
    const takeUp = known || asked;
    asked = true;
    const path = takeUp ? `/mags-execs/${execId}?offset=${offset}` : jobPath(nameOrId, "/exec");
    const greeted = deferred<Parameters<ExecListeners["onStarted"]>[0]>();
    const onNotice = options.onNotice ?? (() => {});
    const listeners = { onStarted: greeted.resolve, onStdinTaken: stdin.taken, onNotice };
    const current = await connectExec(transport, path, takeUp ? undefined : startMessage(), listeners);
    greeted.promise.then((message) => {
      socket = current;
      known = true;
      lostAt = undefined;
      failures = 0;
      const { stdin_offset, stdin_taken, stdin_window } = message;
      stdin.attach(current, { offset: stdin_offset, taken: stdin_taken, window: stdin_window });
      if (size && takeUp) current.send({ type: "resize", ...size });
      if (hungUp) current.send({ type: "hangup" });
      started.resolve();
    });
    try {
      for (;;) {
        const message = await current.next();
        if (message.type === "end") {
          current.send({ type: "done" });
          return {
            exitCode: message.exit_code,
            signal: message.signal ?? undefined,
            timedOut: message.timed_out,
            reason: message.reason ?? undefined,
          };
        }
        offset = message.offset + message.bytes.length;
        yield { source: message.source, bytes: message.bytes };
        current.consumed(offset);
      }
    } finally {
      stdin.detach();
      socket = undefined;
      current.close();
    }
  }

  /** Decides what to do about a lost connection or a refusal; throws what cannot be mended. */
  async function recover(error: unknown, beganAt: number): Promise<void> {
    signal?.throwIfAborted();
    if (!(error instanceof MagsError)) throw error;
    if (hungUp) throw clientError("connection_lost", "the command was left");
    const now = performance.now();
    if (!known && error.code === "exec_not_found") {
      asked = false; // what was asked did not arrive
      return;
    }
    if (error.code === "no_vm" && now - beganAt < NO_VM_TIMEOUT_MS) {
      asked = false;
      await pauseBeforeRetry(failures++, signal);
      return;
    }
    // An earlier start arrived late: the next try takes it up.
    const isThere = !known && error.code === "exec_exists";
    if ((!isPassing(error) && !isThere) || error.code === "too_many_requests") throw error;
    lostAt ??= now;
    const awayMs = now - lostAt;
    if (awayMs >= reconnectTimeout)
      throw clientError(
        "connection_lost",
        `lost the connection to ${transport.apiUrl} and could not go on for ${reconnectTimeout / 1000} s: ${error.message}`,
        error,
      );
    if (awayMs >= NOTICE_AFTER_MS) options.onConnectionLost?.(error);
    await pauseBeforeRetry(failures++, signal);
  }

  async function* output(): AsyncGenerator<ExecPiece, void, void> {
    const beganAt = performance.now();
    const onAbort = () => void hangUp();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (;;) {
        try {
          ended.resolve(yield* converse());
          return;
        } catch (error) {
          await recover(error, beganAt);
        }
      }
    } catch (error) {
      started.reject(error);
      ended.reject(error);
      throw error;
    } finally {
      ended.reject(clientError("connection_lost", "the output was not read to its end"));
      signal?.removeEventListener("abort", onAbort);
      stdin.close();
    }
  }

  async function hangUp(): Promise<void> {
    hungUp = true;
    if (!socket) return;
    socket.send({ type: "hangup" });
    const overdue = deferred<void>();
    const timer = setTimeout(overdue.resolve, HANG_UP_MS);
    await Promise.race([socket.closed, overdue.promise]);
    clearTimeout(timer);
  }

  const pieces = output();
  return {
    started: started.promise,
    ended: ended.promise,
    [Symbol.asyncIterator]: () => pieces,
    write: (data) => stdin.write(Buffer.from(data as Uint8Array)), // which takes a string as well
    end: stdin.end,
    resize(next) {
      size = sizeOf(next);
      socket?.send({ type: "resize", ...size });
    },
    kill: (name) => socket?.send({ type: "signal", signal: name }),
    hangUp,
  };
}
