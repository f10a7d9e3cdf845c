/** Streamed commands that run as processes of this machine. What is not acknowledged is kept in memory, and bounded. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { AppError } from "@mags/core";
import {
  type ExecAttachment,
  type ExecEnd,
  type ExecId,
  type ExecOutput,
  type ExecRuntime,
  type ExecStart,
  type GuestId,
  INPUT_WINDOW_BYTES,
  type TerminalSize,
} from "@mags/domain";

export interface SimulatedExecs extends ExecRuntime {
  /** What was started, in order. */
  readonly started: readonly ExecStart[];
  readonly resizes: readonly TerminalSize[];
  /** Those that were not forgotten. */
  readonly count: number;
  /** Whether it has not ended. */
  runs(execId: ExecId): boolean;
  /** Ends the commands of one guest, or all. */
  endAll(guest?: GuestId): void;
}

/** Of output that is not acknowledged: beyond it the command waits. */
const MOST_KEPT_BYTES = 4 * 1024 * 1024;
/** A program for python3, which says itself how it is called. */
export const TERMINAL_PROGRAM = join(import.meta.dirname, "simulated-terminal.py");

interface Held {
  readonly start: ExecStart;
  readonly child: ChildProcessWithoutNullStreams;
  outputs: ExecOutput[];
  size: number;
  acknowledged: number;
  received: number;
  taken: number;
  /** Nobody will read on. */
  isDropped: boolean;
  end: ExecEnd | null;
  holder: { wake(): void; takeOver(): void; taken(offset: number): void } | null;
}

/** @param guests  `awaken` throws when commands cannot be run in it. */
export function createSimulatedExecs(guests: { readonly awaken: (guest: GuestId) => void }): SimulatedExecs {
  const held = new Map<ExecId, Held>();
  const started: ExecStart[] = [];
  const resizes: TerminalSize[] = [];

  function launch(start: ExecStart): Held {
    const command = start.command ?? "exec /bin/sh";
    const term = start.terminal && { TERM: start.terminal.term };
    const options = { env: { ...process.env, ...term, ...start.environment }, detached: true };
    const size = start.terminal && [String(start.terminal.rows), String(start.terminal.cols)];
    const child = (
      size
        ? spawn("python3", [TERMINAL_PROGRAM, ...size, command], {
            ...options,
            stdio: ["pipe", "pipe", "pipe", "pipe"],
          })
        : spawn("/bin/sh", ["-c", command], options)
    ) as ChildProcessWithoutNullStreams; // whose descriptors 0 to 2 are pipes
    const counts = { size: 0, acknowledged: 0, received: 0, taken: 0 };
    const one: Held = { start, child, outputs: [], ...counts, isDropped: false, end: null, holder: null };
    const take = (source: ExecOutput["source"]) => (bytes: Buffer) => {
      if (one.isDropped) return;
      one.outputs.push({ source, offset: one.size, bytes });
      one.size += bytes.length;
      if (one.size - one.acknowledged > MOST_KEPT_BYTES) {
        child.stdout.pause();
        child.stderr.pause();
      }
      one.holder?.wake();
    };
    child.stdio[3]?.on("error", () => {});
    child.stdout.on("data", take("stdout"));
    child.stderr.on("data", take("stderr"));
    child.stdin.on("error", () => {});
    if (!start.stdin && !start.terminal) child.stdin.end();
    const timer =
      start.timeoutMs === null ? undefined : setTimeout(() => kill(one, constants.signals.SIGTERM), start.timeoutMs);
    let timedOut = false;
    timer?.unref();
    child.on("close", (code, name) => {
      const signal = name === null ? null : constants.signals[name];
      timedOut = timer !== undefined && signal === constants.signals.SIGTERM;
      clearTimeout(timer);
      one.end = { exitCode: timedOut ? 124 : (code ?? 128 + (signal ?? 0)), signal, timedOut, lost: null };
      if (one.isDropped) held.delete(start.execId);
      one.holder?.wake();
    });
    held.set(start.execId, one);
    return one;
  }

  /** The process of a terminal is not that of its command. */
  function tell({ child }: Held, line: string): void {
    (child.stdio[3] as Writable).write(`${line}\n`);
  }

  function signal(one: Held, signo: number): void {
    if (one.start.terminal && !one.end) tell(one, `signal ${signo}`);
    else kill(one, signo);
  }

  function kill({ child, end }: Held, signo: number): void {
    if (end || child.pid === undefined) return;
    try {
      process.kill(-child.pid, signo);
    } catch {
      // It has just ended.
    }
  }

  function attach(one: Held, from: number): ExecAttachment {
    one.holder?.takeOver();
    let offset = from;
    let changed = Promise.withResolvers<void>();
    let failure: AppError | undefined;
    let tellTaken = (_offset: number): void => {};
    let tellTakenOver = (_error: AppError): void => {};
    const wake = () => {
      changed.resolve();
      changed = Promise.withResolvers();
    };
    const lose = (message: string) => {
      failure ??= new AppError("exec_taken_over", message);
      wake();
      return failure;
    };
    const mine: NonNullable<Held["holder"]> = {
      wake,
      takeOver: () => tellTakenOver(lose("another client took the command over")),
      taken: (taken) => tellTaken(taken),
    };
    one.holder = mine;
    return {
      execId: one.start.execId,
      get inputOffset() {
        return one.received;
      },
      get inputTaken() {
        return one.taken;
      },
      get end() {
        return one.end;
      },
      async read() {
        for (;;) {
          if (failure) throw failure;
          const { promise } = changed;
          const outputs = one.outputs
            .filter((output) => output.offset + output.bytes.length > offset)
            .slice(0, 16)
            .map((output) => {
              const skip = Math.max(0, offset - output.offset);
              return { ...output, offset: output.offset + skip, bytes: output.bytes.subarray(skip) };
            });
          const last = outputs.at(-1);
          if (last) offset = last.offset + last.bytes.length;
          if (outputs.length > 0 || one.end) return outputs;
          await promise;
        }
      },
      acknowledge(upTo) {
        one.acknowledged = Math.max(one.acknowledged, upTo);
        one.outputs = one.outputs.filter((output) => output.offset + output.bytes.length > upTo);
        if (one.size - one.acknowledged > MOST_KEPT_BYTES) return;
        for (const output of [one.child.stdout, one.child.stderr]) output.resume();
      },
      write({ offset: at, bytes }) {
        if (failure) throw failure;
        if (!one.start.stdin && !one.start.terminal)
          throw new AppError("validation_failed", "the command was started without stdin");
        if (at > one.received) throw new AppError("validation_failed", `input from byte ${one.received} on is missing`);
        const fresh = bytes.subarray(one.received - at);
        if (one.received + fresh.length - one.taken > INPUT_WINDOW_BYTES)
          throw new AppError("validation_failed", "more input than the window allows");
        one.received += fresh.length;
        const upTo = one.received;
        one.child.stdin.write(fresh, () => {
          one.taken = upTo;
          one.holder?.taken(upTo);
        });
      },
      endInput() {
        if (failure) throw failure;
        one.child.stdin.end();
      },
      onTakenOver(listener) {
        tellTakenOver = listener;
      },
      onNotice() {},
      onInputTaken(listener) {
        tellTaken = listener;
      },
      resize(size) {
        if (failure) return;
        resizes.push(size);
        if (one.start.terminal && !one.end) tell(one, `size ${size.rows} ${size.cols}`);
      },
      signal: (signo) => void (failure || signal(one, signo)),
      hangUp() {
        if (failure) return;
        if (one.start.endsWithClient) {
          one.isDropped = true;
          one.outputs = [];
          for (const output of [one.child.stdout, one.child.stderr]) output.resume();
        }
        kill(one, constants.signals.SIGHUP);
      },
      forget: () => void (failure || (one.end && held.delete(one.start.execId))),
      detach() {
        if (one.holder === mine) one.holder = null;
        lose("the client has left");
      },
    };
  }

  return {
    started,
    resizes,
    get count() {
      return held.size;
    },
    runs: (execId) => held.get(execId)?.end === null,
    async startExec(start) {
      if (held.has(start.execId)) throw new AppError("exec_exists", `there is an exec ${start.execId} already`);
      guests.awaken(start.guest);
      started.push(start);
      return attach(launch(start), 0);
    },
    async attachExec(execId, { accountId, offset }) {
      const one = held.get(execId);
      if (one?.start.accountId !== accountId) throw new AppError("exec_not_found", `there is no exec ${execId}`);
      if (offset > one.size || offset < one.acknowledged)
        throw new AppError("validation_failed", `the output from byte ${offset} on is not there`);
      return attach(one, offset);
    },
    endAll(guest) {
      for (const one of held.values())
        if (guest === undefined || one.start.guest === guest) kill(one, constants.signals.SIGKILL);
    },
  };
}
