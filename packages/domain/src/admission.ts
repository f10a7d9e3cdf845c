/**
 * The books of all jobs that have not ended: which of them may go to the node, and in what order. No I/O and no clock.
 *
 * Phases of a job: `waiting` → `admitted` → `handed` → `started`, and from any of them `over`, until it is forgotten.
 * From `admitted` to `started` it counts against its account's limits. Invariants:
 * - Together such jobs never take more than the account may have, but for those that ran before the limits were set.
 * - Jobs of one account are admitted in the order in which they entered.
 * - Accounts take turns, one job a turn. One that must wait for its own limits keeps its turn and holds nobody up.
 * - A sandbox counts from the start of the job that it was made for, in place of that job, until it is released; jobs that
 *   run in one that exists are not in these books.
 * - To the node go those that it has memory for, and a few more, so that it never waits for us: what it queues is served
 *   in order of arrival, whoever's it is, so only little may stand there.
 */
import {
  type AccountLimits,
  addUsage,
  type ExceededLimit,
  exceededLimit,
  type JobDemand,
  NO_USAGE,
  type Usage,
} from "./account-limits.ts";
import type { AccountId, JobId } from "./ids.ts";
import type { SandboxId } from "./sandbox.ts";

export interface AdmissionLimits {
  readonly account: AccountLimits;
  /** Most jobs of one account that wait, and most of all; 0: no limit. */
  readonly queuedPerAccount: number;
  readonly queued: number;
}

/** What the node can take now. */
export interface NodeRoom {
  readonly freeMemoryMiB: number;
  /** Jobs it has taken that wait for memory. */
  readonly awaitingMemory: number;
}

export interface AdmissionJob {
  readonly id: JobId;
  readonly accountId: AccountId;
  readonly size: JobDemand;
}

/** A sandbox takes its account's share whether it runs or sleeps. */
export interface BookedSandbox {
  readonly id: SandboxId;
  readonly accountId: AccountId;
  readonly size: JobDemand;
}

export type AdmissionPhase = "waiting" | "admitted" | "handed" | "started" | "over";

export type Entry =
  | { readonly kind: "admitted" | "waiting" }
  | { readonly kind: "refused"; readonly by: "account" | "server" };

/** What a waiting job waits for: a limit of its account, else the node; and how many jobs of its account come first. */
export interface WaitReason {
  readonly exceeded: ExceededLimit | null;
  readonly ahead: number;
}

export interface Admission {
  /** Takes a new job, or refuses it when it would have to wait and too many do. */
  enter(job: AdmissionJob, room: NodeRoom): Entry;
  /** Takes a job as it was found, whatever the limits say. */
  adopt(job: AdmissionJob, phase: "waiting" | "handed" | "started"): void;
  /** Admits the next job that may go to the node; null when there is none. */
  next(room: NodeRoom): JobId | null;
  /** The node has it. */
  handed(jobId: JobId): void;
  /** It has a microVM, and its script began. */
  started(jobId: JobId): void;
  /** It must be handed over again, before the others of its account. */
  requeue(jobId: JobId): void;
  /** It takes nothing any more. */
  release(jobId: JobId): void;
  forget(jobId: JobId): void;
  phaseOf(jobId: JobId): AdmissionPhase | undefined;
  waitReason(jobId: JobId): WaitReason;
  ids(): readonly JobId[];
  /** Counts a sandbox, or a known one with its present size, whatever the limits say. */
  occupy(sandbox: BookedSandbox): void;
  /** It takes nothing any more. */
  vacate(sandboxId: SandboxId): void;
  /** The limit that a known sandbox would break with another size; null when there is none. */
  exceededBy(sandboxId: SandboxId, size: JobDemand): ExceededLimit | null;
  /** Counts a known sandbox with another size, unless that breaks a limit: then it gives that. */
  resize(sandboxId: SandboxId, size: JobDemand): ExceededLimit | null;
  sandboxes(): readonly SandboxId[];
  /** Jobs in the phase `waiting`. */
  readonly waiting: number;
}

interface Booked {
  readonly job: AdmissionJob;
  phase: AdmissionPhase;
}

interface Account {
  usage: Usage;
  readonly queue: Booked[];
}

/** @param nodeQueue How many jobs may wait in the node's own queue; at least 1. */
export function createAdmission(limits: AdmissionLimits, { nodeQueue }: { readonly nodeQueue: number }): Admission {
  const jobs = new Map<JobId, Booked>();
  const sandboxes = new Map<SandboxId, BookedSandbox>();
  const accounts = new Map<AccountId, Account>();
  /** Accounts with waiting jobs, in the order of their turns. */
  const turns: AccountId[] = [];
  let waiting = 0;
  /** Admitted, and not yet with the node. */
  const onTheWay = new Set<Booked>();

  function accountOf({ accountId }: Pick<AdmissionJob, "accountId">): Account {
    const account = accounts.get(accountId) ?? { usage: NO_USAGE, queue: [] };
    accounts.set(accountId, account);
    return account;
  }

  const counts = (phase: AdmissionPhase) => phase === "admitted" || phase === "handed" || phase === "started";

  /** The one place where a phase changes, and with it what is counted. */
  function move(booked: Booked, phase: AdmissionPhase, { first = false } = {}): void {
    const { job, phase: before } = booked;
    const account = accountOf(job);
    if (counts(phase) !== counts(before)) account.usage = addUsage(account.usage, job.size, counts(phase) ? 1 : -1);
    if (phase === "admitted") onTheWay.add(booked);
    else onTheWay.delete(booked);
    if (before === "waiting") {
      account.queue.splice(account.queue.indexOf(booked), 1);
      waiting--;
      if (account.queue.length === 0) turns.splice(turns.indexOf(job.accountId), 1);
    }
    if (phase === "waiting") {
      if (account.queue.length === 0) turns.push(job.accountId);
      account.queue.splice(first ? 0 : account.queue.length, 0, booked);
      waiting++;
    }
    booked.phase = phase;
    dropIfIdle(job.accountId);
  }

  function dropIfIdle(accountId: AccountId): void {
    const account = accounts.get(accountId);
    if (account?.usage.vms === 0 && account.queue.length === 0) accounts.delete(accountId);
  }

  function vacate(sandboxId: SandboxId): void {
    const sandbox = sandboxes.get(sandboxId);
    if (!sandbox) return;
    sandboxes.delete(sandboxId);
    const account = accountOf(sandbox);
    account.usage = addUsage(account.usage, sandbox.size, -1);
    dropIfIdle(sandbox.accountId);
  }

  function book(job: AdmissionJob, phase: AdmissionPhase): void {
    const booked: Booked = { job, phase: "over" };
    jobs.set(job.id, booked);
    move(booked, phase);
  }

  /** Whether few enough jobs will wait for the node's memory once it has those on the way. */
  function hasRoom(room: NodeRoom): boolean {
    let [free, stuck] = [room.freeMemoryMiB, room.awaitingMemory];
    for (const { job } of onTheWay) {
      if (stuck === 0 && job.size.memoryMiB <= free) free -= job.size.memoryMiB;
      else stuck++;
    }
    return stuck < nodeQueue;
  }

  const fits = ({ usage }: Account, job: AdmissionJob) => exceededLimit(limits.account, usage, job.size) === null;

  /** The head of the first queue that its account's limits let go. */
  function nextInTurn(): Booked | undefined {
    for (const accountId of turns) {
      const account = accounts.get(accountId);
      const head = account?.queue[0];
      if (account && head && fits(account, head.job)) return head;
    }
    return undefined;
  }

  function change(jobId: JobId, from: readonly AdmissionPhase[], phase: AdmissionPhase): void {
    const booked = jobs.get(jobId);
    if (booked && from.includes(booked.phase)) move(booked, phase);
  }

  function occupy(sandbox: BookedSandbox): void {
    vacate(sandbox.id);
    sandboxes.set(sandbox.id, sandbox);
    const account = accountOf(sandbox);
    account.usage = addUsage(account.usage, sandbox.size, 1);
  }

  function exceededBy(sandboxId: SandboxId, size: JobDemand): ExceededLimit | null {
    const sandbox = sandboxes.get(sandboxId);
    const usage = sandbox && accounts.get(sandbox.accountId)?.usage;
    return sandbox && usage ? exceededLimit(limits.account, addUsage(usage, sandbox.size, -1), size) : null;
  }

  const release = (jobId: JobId) => change(jobId, ["waiting", "admitted", "handed", "started"], "over");

  return {
    enter(job, room) {
      const account = accounts.get(job.accountId) ?? { usage: NO_USAGE, queue: [] };
      const inTurn = account.queue.length === 0 && fits(account, job) && nextInTurn() === undefined;
      if (inTurn && hasRoom(room)) {
        book(job, "admitted");
        return { kind: "admitted" };
      }
      if (limits.queuedPerAccount > 0 && account.queue.length >= limits.queuedPerAccount)
        return { kind: "refused", by: "account" };
      if (limits.queued > 0 && waiting >= limits.queued) return { kind: "refused", by: "server" };
      book(job, "waiting");
      return { kind: "waiting" };
    },

    adopt: book,

    next(room) {
      const booked = nextInTurn();
      // The job whose turn it is is not passed by smaller ones: else a large one might never get its turn.
      if (!booked || !hasRoom(room)) return null;
      const { accountId, id } = booked.job;
      move(booked, "admitted");
      const at = turns.indexOf(accountId);
      if (at >= 0) turns.push(...turns.splice(at, 1));
      return id;
    },

    handed: (jobId) => change(jobId, ["admitted"], "handed"),
    started: (jobId) => change(jobId, ["admitted", "handed"], "started"),
    requeue(jobId) {
      const booked = jobs.get(jobId);
      if (booked && counts(booked.phase)) move(booked, "waiting", { first: true });
    },
    release,
    forget(jobId) {
      release(jobId);
      jobs.delete(jobId);
    },

    phaseOf: (jobId) => jobs.get(jobId)?.phase,

    waitReason(jobId) {
      const booked = jobs.get(jobId);
      const account = booked && accounts.get(booked.job.accountId);
      const [head] = account?.queue ?? [];
      if (!booked || !account || !head || booked.phase !== "waiting") return { exceeded: null, ahead: 0 };
      return {
        exceeded: exceededLimit(limits.account, account.usage, head.job.size),
        ahead: account.queue.indexOf(booked),
      };
    },

    ids: () => [...jobs.keys()],

    occupy,
    vacate,
    exceededBy,
    resize(sandboxId, size) {
      const exceeded = exceededBy(sandboxId, size);
      const sandbox = sandboxes.get(sandboxId);
      if (sandbox && !exceeded) occupy({ ...sandbox, size });
      return exceeded;
    },
    sandboxes: () => [...sandboxes.keys()],

    get waiting() {
      return waiting;
    },
  };
}
