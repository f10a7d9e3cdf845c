/** All streamed commands of a node: finds them, bounds their number, and tells them what becomes of their guests. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, type Logger, messageOf } from "@mags/core";
import { type ExecId, type ExecRuntime, type GuestId, isUuid } from "@mags/domain";
import type { Guests, StreamOwner } from "../guests/guests.ts";
import { KEY_PREFIX } from "./exec-command.ts";
import { type ExecRecord, readExecRecord } from "./exec-record.ts";
import { createExecSession, type ExecLimits, type ExecSession } from "./exec-session.ts";
import { type RecoveredSpool, recoverSpool } from "./spool.ts";

export interface ExecSessions extends ExecRuntime, AsyncDisposable {
  readonly owner: StreamOwner;
  /** All guests that outlived an earlier process are there: commands of others are lost. */
  settle(): void;
  /** Those that have a folder. */
  ids(): readonly ExecId[];
}

export interface ExecSessionsDeps {
  readonly guests: Guests;
  readonly log: Logger;
}

export interface ExecSessionsOptions extends ExecLimits {
  /** Commands that run in one guest. */
  readonly perGuest: number;
}

/** Ended ones that nobody fetched count too; what is kept in memory of each is bounded. */
const MOST_SESSIONS = 4_096;
const ATTENDED_TOUCH_MS = 20_000;
/** A command without a terminal whose client waits for it is work, also while it is silent. */
const isWork = ({ terminal, endsWithClient, end }: ExecRecord) => !terminal && !endsWithClient && !end;

/** Takes up what an earlier process left in `directory`. */
export async function openExecSessions(
  { guests, log }: ExecSessionsDeps,
  directory: string,
  options: ExecSessionsOptions,
): Promise<ExecSessions> {
  const sessions = new Map<ExecId, ExecSession>();
  const removals = new Set<Promise<void>>();
  const of = (guest: GuestId) => [...sessions.values()].filter(({ record }) => record.guest === guest);

  function add(record: ExecRecord, found?: RecoveredSpool): ExecSession {
    const { execId, accountId } = record;
    const accountBytes = () =>
      [...sessions.values()].reduce(
        (sum, other) => sum + (other.record.accountId === accountId ? other.heldBytes : 0),
        0,
      );
    const session = createExecSession(
      { guests, log, limits: options, accountBytes, onDone: () => remove(execId) },
      join(directory, execId),
      { record, ...(found && { found }) },
    );
    sessions.set(execId, session);
    return session;
  }

  function remove(execId: ExecId): void {
    const session = sessions.get(execId);
    if (!session) return;
    sessions.delete(execId);
    const removal = Promise.resolve(session[Symbol.asyncDispose]())
      .then(() => rm(join(directory, execId), { recursive: true, force: true }))
      .catch((error: unknown) => log.error("exec.removal_failed", { execId, error: messageOf(error) }))
      .finally(() => removals.delete(removal));
    removals.add(removal);
  }

  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const record = isUuid(name) ? await readExecRecord(path) : undefined;
    if (record?.execId === name) add(record, await recoverSpool(path));
    else await rm(path, { recursive: true, force: true });
  }

  const attending = setInterval(() => {
    for (const session of sessions.values()) if (session.attached && isWork(session.record)) session.touch();
  }, ATTENDED_TOUCH_MS);

  function admit(guest: GuestId): void {
    const running = of(guest).filter(({ record }) => !record.end).length;
    if (running >= options.perGuest)
      throw new AppError(
        "too_many_requests",
        `${running} commands run in this job already, as many as may: wait until one has ended`,
        { retryAfterSeconds: 1 },
      );
    const unfetched = of(guest).filter(({ record, attached }) => record.end && !attached);
    if (running + unfetched.length >= 2 * options.perGuest && unfetched[0]) remove(unfetched[0].record.execId);
    if (sessions.size >= MOST_SESSIONS)
      throw new AppError("too_many_requests", `${sessions.size} commands run already, as many as the node takes`, {
        retryAfterSeconds: 5,
      });
  }

  return {
    ids: () => [...sessions.keys()],

    async startExec(start) {
      const { execId, guest, accountId, terminal, stdin, endsWithClient } = start;
      if (sessions.has(execId)) throw new AppError("exec_exists", `there is an exec ${execId} already`);
      guests.get(guest);
      admit(guest);
      const session = add({
        ...{ execId, guest, accountId, terminal: terminal !== null, stdin: stdin || terminal !== null },
        ...{ endsWithClient, inputEndSeq: null, end: null },
      });
      const attachment = session.attach(0);
      try {
        await session.start(start);
        return attachment;
      } catch (error) {
        remove(execId);
        throw error;
      }
    },

    async attachExec(execId, { accountId, offset }) {
      const session = sessions.get(execId);
      const missing = () => new AppError("exec_not_found", `there is no exec ${execId}, or it ended some time ago`);
      if (session?.record.accountId !== accountId) throw missing();
      await session.started.catch(() => {
        throw missing();
      });
      return session.attach(offset);
    },

    owner: {
      connected(guest) {
        for (const session of of(guest.id)) {
          const key = KEY_PREFIX + session.record.execId;
          session.resume(
            guest,
            guest.agent.kept.find((kept) => kept.key.toString() === key),
          );
        }
      },
      suspended(id) {
        for (const session of of(id)) session.suspend();
      },
      told(id, text) {
        for (const session of of(id)) session.notice(text);
      },
      async settle(id) {
        await Promise.all(of(id).map((session) => session.settle()));
      },
      ended(id, reason) {
        for (const session of of(id)) if (!session.waiting) session.loseGuest(`the VM has ended: ${reason}`);
      },
    },

    settle() {
      for (const session of sessions.values()) {
        try {
          guests.get(session.record.guest);
        } catch {
          session.loseGuest("the VM in which it ran has ended");
        }
      }
    },

    async [Symbol.asyncDispose]() {
      clearInterval(attending);
      for (const session of sessions.values()) await session[Symbol.asyncDispose]();
      await Promise.all(removals);
    },
  };
}
