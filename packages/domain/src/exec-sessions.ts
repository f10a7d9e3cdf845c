/**
 * Commands whose input and output are streamed, and which outlive the client that started them: it may come back and go
 * on where it was. Nothing but bytes, numbers and calls passes between control plane and node.
 */
import type { AppError } from "@mags/core";
import type { AccountId, Id } from "./ids.ts";
import type { GuestId } from "./sandbox.ts";

export type ExecId = Id<"exec">;

/** Most bytes of input that may have been written and not yet been taken by the command. */
export const INPUT_WINDOW_BYTES = 512 * 1024;

export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

export interface ExecStart {
  /** Chosen by the client, so that it finds its command again whatever it has not heard. */
  readonly execId: ExecId;
  readonly guest: GuestId;
  /** Whose it is: nobody else finds it. */
  readonly accountId: AccountId;
  /** Run by `/bin/sh -c`, bytes untouched; null: a login shell. */
  readonly command: string | null;
  /** Null: no terminal, stdout and stderr apart. `modes`: as an SSH client sends them; null: those of a new terminal. */
  readonly terminal: (TerminalSize & { readonly term: string; readonly modes: Uint8Array | null }) | null;
  /** Input will be written; without, it is empty. A terminal always has one. */
  readonly stdin: boolean;
  readonly environment: Readonly<Record<string, string>>;
  /** Null: /root. */
  readonly cwd: string | null;
  /** Then SIGTERM, SIGKILL after 10 s, exit code 124. Null: no limit. */
  readonly timeoutMs: number | null;
  /** What it leaves in its process group goes on when it ends; else that is killed. */
  readonly leavesGroup: boolean;
  /**
   * It belongs to a client's connection: when that ends, or the server, it is hung up at once, and when it has ended then
   * it is forgotten. Only what passes is use of the guest. Else its client may come back, and the guest is in use as long
   * as it waits.
   */
  readonly endsWithClient: boolean;
}

export interface ExecEnd {
  /** 0–255; 128 + signal number; 124 on time-out; 137 when it was lost. */
  readonly exitCode: number;
  /** Number of the signal that ended it. */
  readonly signal: number | null;
  readonly timedOut: boolean;
  /** Set when its exit is not known: why, for the user. */
  readonly lost: string | null;
}

export interface ExecOutput {
  readonly source: "stdout" | "stderr";
  /** Bytes of output before these, over both sources. */
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A client's hold on a command. There is one at a time: a newer one takes over. */
export interface ExecAttachment {
  readonly execId: ExecId;
  /** Bytes of input that are there; the client goes on with the next. */
  readonly inputOffset: number;
  /** Bytes of input that the command has taken: they are never wanted again. */
  readonly inputTaken: number;
  /**
   * Output in order, at most about 256 KiB; waits until there is some. Empty: there is no more, and `end` is known.
   * @throws AppError `exec_taken_over`; `unavailable` when what was written cannot be read.
   */
  read(): Promise<readonly ExecOutput[]>;
  readonly end: ExecEnd | null;
  /** The client has the output before `offset`; it may be forgotten. */
  acknowledge(offset: number): void;
  /**
   * Adds input. What is there already is left out.
   * @throws AppError `validation_failed` when bytes before it are missing, it is more than the window allows, or the
   * command takes no input.
   */
  write(input: { readonly offset: number; readonly bytes: Uint8Array }): void;
  /** End of input after `offset` bytes. May be repeated. @throws AppError `validation_failed` when bytes are missing. */
  endInput(offset: number): void;
  /** Called when another client takes the command over. */
  onTakenOver(listener: (error: AppError) => void): void;
  /** Called with the bytes that the command has taken, now and then. */
  onInputTaken(listener: (offset: number) => void): void;
  /** Called with what is to be known of its guest, for people: it waits for room on the host's disk, say. */
  onNotice(listener: (text: string) => void): void;
  resize(size: TerminalSize): void;
  /** To its process group. */
  signal(signo: number): void;
  /** The client leaves for good: SIGHUP, SIGKILL after 10 s. */
  hangUp(): void;
  /** The client has all output and the end: everything is forgotten. */
  forget(): void;
  /** The client is gone, and may come back. */
  detach(): void;
}

export interface ExecRuntime {
  /**
   * Starts a command, in a sandbox that sleeps after waking it. A client that does not come back finds it by
   * `attachExec`, also while it is being started, and also after a restart of the node; it is started at most once.
   * @throws AppError `exec_exists` when the id is taken; `job_not_running`; `too_many_requests` when as many as may
   * run there already; `disk_full` when the guest waits for room on the host's disk, or there is none for its output;
   * `guest_failed` when it cannot be started.
   */
  startExec(start: ExecStart): Promise<ExecAttachment>;
  /**
   * Takes a command up, its output from `offset` on.
   * @throws AppError `exec_not_found`: there is none, it is another account's, or it ended some time ago;
   * `validation_failed` when output from `offset` on is not there.
   */
  attachExec(
    execId: ExecId,
    options: { readonly accountId: AccountId; readonly offset: number },
  ): Promise<ExecAttachment>;
}
