/**
 * One command with its output and input. States: starting → live ⇄ away (its guest sleeps, or the connection to it is
 * gone) → over. Output is on file before the guest may forget it, and the end is on file before the guest is told to forget
 * the stream, so that both are found again after a restart of this process. Owns its folder's files and its stream.
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, type Logger, messageOf } from "@mags/core";
import type { ExecAttachment, ExecEnd, ExecStart, TerminalSize } from "@mags/domain";
import type { AgentStream, KeptStream, StreamEnd } from "../agent/index.ts";
import type { AwakeGuest, Guests } from "../guests/guests.ts";
import { syncPath } from "../host/files.ts";
import { createAttachment, type HeldAttachment } from "./exec-attachment.ts";
import { openOptions } from "./exec-command.ts";
import { createExecInput } from "./exec-input.ts";
import { type ExecRecord, writeExecRecord } from "./exec-record.ts";
import { createSpool, type RecoveredSpool } from "./spool.ts";
import type { SpoolPosition } from "./spool-record.ts";

export interface ExecLimits {
  /** Output kept that the client does not have; then the command waits in its write. */
  readonly spoolBytes: number;
  /** The same of all commands of an account; what a command has of its own in any case comes on top. */
  readonly accountSpoolBytes: number;
  /** For a client that went away to come back. */
  readonly detachMs: number;
  /** For the client of a command that has ended. */
  readonly keptMs: number;
}

export interface ExecSessionDeps {
  readonly guests: Guests;
  readonly log: Logger;
  readonly limits: ExecLimits;
  /** Nobody wants it any more: to be disposed of and removed. */
  readonly onDone: () => void;
  /** Output kept of all commands of its account. */
  readonly accountBytes: () => number;
}

export interface ExecSession extends AsyncDisposable {
  readonly record: ExecRecord;
  readonly attached: boolean;
  /** Output kept. */
  readonly heldBytes: number;
  /** Its guest is being woken for it: nothing of it runs yet. */
  readonly waiting: boolean;
  /** @throws AppError when it cannot be started. */
  start(start: ExecStart): Promise<void>;
  /** Settles when `start` does; at once for what an earlier process started. */
  readonly started: Promise<void>;
  attach(offset: number): ExecAttachment;
  /** Its guest is connected. `kept`: its stream, if that is still there. */
  resume(guest: AwakeGuest, kept: KeptStream | undefined): void;
  /** The connection to its guest is given up. */
  suspend(): void;
  /** Tells its client something of its guest. */
  notice(text: string): void;
  /** What it ran in is gone, and so is soon what nobody fetches. @param reason  For the user. */
  loseGuest(reason: string): void;
  /** Resolves when what it took from the guest, and what is known of it, is on stable storage. */
  settle(): Promise<void>;
  /** Its guest is not idle. */
  touch(): void;
}

const LOST_EXIT_CODE = 137;
const TIMEOUT_EXIT_CODE = 124;
const SIGHUP = 1;
const SIGKILL = 9;
const HANG_UP_GRACE_MS = 10_000;
/** For a client that lost its connection to hear how it ended. */
const GONE_KEPT_MS = 60_000;
const TOUCH_EVERY_MS = 1_000;
const LARGEST_SEGMENT_BYTES = 4 * 1024 * 1024;
const SEGMENTS = 16;
/** More than what stays of a spool whose client has all, so that a command goes on however much others hold. */
const OWN_SEGMENTS = 2;

export function createExecSession(
  deps: ExecSessionDeps,
  directory: string,
  from: { readonly record: ExecRecord; readonly found?: RecoveredSpool },
): ExecSession {
  const { guests, log, limits } = deps;
  let record = from.record;
  const { execId, guest: guestId } = record;
  let stream: AgentStream | null = null;
  let starting = false;
  let isOnFile = from.found !== undefined;
  let finishing = record.end !== null;
  let hungUp = false;
  let waking = false;
  let size: TerminalSize | null = null;
  let attachment: HeldAttachment | null = null;
  let unacknowledged: SpoolPosition | null = null;
  /** As in the kernel, a signal that waits is not doubled. */
  const pendingSignals = new Set<number>();
  /** Its guest was asleep once: what is known of it outlives a power cut from then on, as the guest does. */
  let durable = false;
  let kept: Promise<void> = Promise.resolve();
  /** What it ran in has ended. */
  let isGuestGone = false;
  let timer: NodeJS.Timeout | undefined;
  let touchedAtMs = Number.NEGATIVE_INFINITY;
  const started = Promise.withResolvers<void>();
  started.promise.catch(() => {}); // nobody has to wait
  let disposed = false;

  const segmentBytes = Math.min(LARGEST_SEGMENT_BYTES, Math.ceil(limits.spoolBytes / SEGMENTS));
  const spool = createSpool(
    directory,
    {
      segmentBytes,
      onWritten(position) {
        unacknowledged = position;
        acknowledgeGuest();
        attachment?.wake();
      },
      onFailed(error) {
        log.error("exec.spool_failed", { execId, error: messageOf(error) });
        stream?.close();
        lose(`its output could not be stored: ${messageOf(error)}`);
      },
    },
    from.found,
  );
  const input = createExecInput({
    accepts: record.stdin,
    endSeq: record.inputEndSeq,
    keepEndSeq: (inputEndSeq) => keep({ inputEndSeq }),
    onTaken: (offset) => attachment?.tellTaken(offset),
  });
  const listeners = {
    onRecord(output: { seq: number; offset: number; channel: number; bytes: Buffer }) {
      spool.append(output);
      touch();
    },
    onInputTaken: input.noteTaken,
  };

  /** One write after the other, so that the last one stays. */
  function keep(change: Partial<Pick<ExecRecord, "inputEndSeq" | "end">>): Promise<void> {
    record = { ...record, ...change };
    kept = kept.then(() =>
      writeExecRecord(directory, record, { durable }).catch((error: unknown) =>
        log.error("exec.record_failed", { execId, error: messageOf(error) }),
      ),
    );
    return kept;
  }

  /** Lets the guest forget what is on file, unless the client has too much to catch up with. */
  function acknowledgeGuest(): void {
    if (!unacknowledged || !stream) return;
    const own = spool.heldBytes;
    if (own >= limits.spoolBytes) return;
    if (own >= OWN_SEGMENTS * segmentBytes && deps.accountBytes() >= limits.accountSpoolBytes) return;
    stream.ack(unacknowledged.seq, unacknowledged.offset);
    unacknowledged = null;
  }

  function touch(): void {
    const now = performance.now();
    if (now - touchedAtMs < TOUCH_EVERY_MS) return;
    touchedAtMs = now;
    try {
      guests.get(guestId).touch();
    } catch {
      // It is ending.
    }
  }

  function follow(next: AgentStream): void {
    stream = next;
    input.attach(next);
    next.ended.then(
      (end) => void (stream === next && finish(end, next)),
      () => void (stream === next && suspend()), // what follows is told by `resume` or `lose`
    );
  }

  function suspend(): void {
    stream = null;
    input.release();
  }

  async function finish(end: StreamEnd, ended: AgentStream): Promise<void> {
    if (finishing) return;
    finishing = true;
    const { timedOut, failure } = end;
    const lost = failure && `the guest gave the command up: ${failure.message}`;
    await over({
      exitCode: timedOut ? TIMEOUT_EXIT_CODE : lost ? LOST_EXIT_CODE : end.exitCode,
      signal: end.exitSignal,
      timedOut,
      lost,
    });
    ended.close();
    suspend();
  }

  function lose(reason: string): void {
    if (finishing) {
      if (record.end && !attachment) wait();
      return;
    }
    finishing = true;
    suspend();
    void over({ exitCode: LOST_EXIT_CODE, signal: null, timedOut: false, lost: reason });
  }

  async function over(end: ExecEnd): Promise<void> {
    const unstored = await spool.flushed().then(
      () => null,
      (error: unknown) => `its output could not be stored: ${messageOf(error)}`,
    );
    await keep({ end: { ...end, lost: end.lost ?? unstored } });
    attachment?.wake();
    if (!attachment) wait();
  }

  /** The client is away: it has some time to come back, if ever it does. */
  function wait(): void {
    clearTimeout(timer);
    if (disposed) return;
    const awaited = (ms: number) => (record.endsWithClient ? 0 : ms);
    const keptMs = isGuestGone ? Math.min(limits.keptMs, GONE_KEPT_MS) : limits.keptMs;
    timer = record.end ? setTimeout(deps.onDone, awaited(keptMs)) : setTimeout(hangUp, awaited(limits.detachMs));
  }

  function hangUp(): void {
    clearTimeout(timer);
    if (finishing) {
      if (!attachment) wait();
      return;
    }
    hungUp = true;
    if (!stream) return; // when its guest is awake again
    stream.signal(SIGHUP);
    timer = setTimeout(() => stream?.signal(SIGKILL), HANG_UP_GRACE_MS);
  }

  /** For what cannot wait until somebody else wakes the guest. */
  function wakeGuest(): void {
    if (stream || starting || finishing || waking) return;
    waking = true;
    const wake = async () => guests.get(guestId).use("exec", async () => {}, { signal: AbortSignal.timeout(60_000) });
    wake()
      .catch((error: unknown) => log.info("exec.wake_failed", { execId, error: messageOf(error) }))
      .finally(() => {
        waking = false;
      });
  }

  if (from.found) {
    started.resolve();
    wait();
  }

  return {
    get record() {
      return record;
    },
    get heldBytes() {
      return spool.heldBytes;
    },
    get attached() {
      return attachment !== null;
    },
    get waiting() {
      return starting && stream === null;
    },
    started: started.promise,
    touch,
    suspend,
    notice(text) {
      if (record.end === null) attachment?.tellNotice(text);
    },
    loseGuest(reason) {
      if (isGuestGone) return;
      isGuestGone = true;
      lose(reason);
    },

    async settle() {
      if (!isOnFile) return;
      durable = true;
      await spool.sync();
      await kept;
      await writeExecRecord(directory, record, { durable });
      await syncPath(dirname(directory));
    },

    async start(start) {
      starting = true;
      size = start.terminal;
      try {
        await mkdir(directory, { mode: 0o700 });
        const open = async ({ agent }: AwakeGuest) => {
          // Right before it is asked of the guest: what was not asked is not found after a restart, and may be started anew.
          await writeExecRecord(directory, record, { durable });
          isOnFile = true;
          const next = agent.open({ ...openOptions(start), ...listeners });
          follow(next);
          await next.opened;
        };
        await guests.get(guestId).use("exec", open, { signal: AbortSignal.timeout(300_000) });
        starting = false;
        started.resolve();
      } catch (error) {
        finishing = true;
        stream?.close();
        const failure = explainStart(error);
        started.reject(failure);
        throw failure;
      }
    },

    attach(offset) {
      attachment?.takeOver();
      // A client that comes back does not call off a hang-up.
      if (!hungUp || finishing) clearTimeout(timer);
      const mine = createAttachment(
        { spool, input, record: () => record, touch },
        {
          execId,
          offset,
          onAcknowledged: acknowledgeGuest,
          onInput: wakeGuest,
          onResize(next) {
            size = next;
            stream?.resize(next);
          },
          onSignal(signo) {
            if (stream) return stream.signal(signo);
            pendingSignals.add(signo);
            wakeGuest();
          },
          onHangUp: hangUp,
          onForget: () => void (record.end && deps.onDone()),
          onDetach() {
            if (attachment !== mine) return;
            attachment = null;
            if (!hungUp || finishing) wait();
          },
        },
      );
      attachment = mine;
      return mine;
    },

    resume({ agent }, kept) {
      if (starting || finishing) return;
      if (!kept) return lose("the VM in which it ran is gone, or the server was restarted before it had begun");
      try {
        follow(agent.resume(kept, { fromSeq: spool.nextSeq, ...listeners }));
      } catch (error) {
        return lose(messageOf(error));
      }
      acknowledgeGuest();
      if (size && record.terminal) stream?.resize(size);
      for (const signo of pendingSignals) stream?.signal(signo);
      pendingSignals.clear();
      if (hungUp) hangUp();
      else if (!attachment) wait();
    },

    async [Symbol.asyncDispose]() {
      finishing = true;
      disposed = true;
      clearTimeout(timer);
      attachment?.close();
      await attachment?.closed;
      suspend();
      await spool[Symbol.asyncDispose]();
      await kept;
    },
  };
}

function explainStart(error: unknown): unknown {
  if ((error as NodeJS.ErrnoException | null)?.code !== "ENOSPC") return error;
  return new AppError("disk_full", "the host's disk is full: the command was not started", { cause: error });
}
