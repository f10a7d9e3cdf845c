import {
  type AccountId,
  isTerminal,
  type JobCommand,
  type JobId,
  type JobStart,
  type JobStatus,
  type MicroVmId,
  type MicroVmSize,
  type SandboxId,
  type VersionRef,
} from "@mags/domain";
import type { JobSandbox, NewSandbox } from "./sandbox.ts";
import { type PolicyFacts, policyOf, type SandboxDefaults } from "./sandbox-policy.ts";
import type { Origin } from "./workspace.ts";

/** A job as the control plane knows it, without the script. */
export interface Job {
  readonly id: JobId;
  readonly accountId: AccountId;
  readonly name: string;
  readonly status: JobStatus;
  readonly size: MicroVmSize;
  readonly labels: Readonly<Record<string, string>>;
  readonly noSync: boolean;
  readonly workspaceId: string | null;
  readonly persistent: boolean;
  readonly noSleep: boolean;
  readonly startupCommand: string | null;
  /** Of a persistent job. */
  readonly idleMinutes: number | null;
  /** Null: it has a microVM of its own, that ends with its script. */
  readonly sandbox: JobSandbox | null;
  /** Of the owner of a sandbox, which lives on. */
  readonly scriptEndedAt: Date | null;
  /** The microVM that ran it, also after it is gone. */
  readonly microVmId: MicroVmId | null;
  readonly exitCode: number | null;
  readonly errorMessage: string | null;
  readonly scriptDurationMs: number | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly completedAt: Date | null;
}

export interface NewJob {
  readonly id: JobId;
  readonly accountId: AccountId;
  readonly name: string;
  readonly command: JobCommand;
  readonly environment: Readonly<Record<string, string>>;
  readonly size: MicroVmSize;
  readonly timeoutMs: number | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly noSync: boolean;
  readonly fileIds: readonly string[];
  readonly workspaceId: string | null;
  readonly persistent: boolean;
  readonly noSleep: boolean;
  readonly startupCommand: string | null;
  readonly idleMinutes: number | null;
  /** Its script only keeps the microVM alive. */
  readonly endless: boolean;
  readonly sandbox: { readonly id: SandboxId; readonly makes: boolean; readonly owns: boolean } | null;
  readonly createdAt: Date;
}

/** What the node needs to run a job, as far as it is stored. */
export interface StoredStart
  extends Pick<NewJob, "id" | "size" | "command" | "environment" | "timeoutMs" | "fileIds" | "sandbox"> {
  /** Of its sandbox; null when it has none. */
  readonly policyFacts: PolicyFacts | null;
  /** What the disk of its sandbox begins as. */
  readonly from: Origin | null;
}

/** A job that has just been made, with a microVM of its own or with a sandbox that it makes. */
export function startOf(job: NewJob, made: NewSandbox | null, defaults: SandboxDefaults): JobStart {
  const { sandbox, noSleep, startupCommand } = job;
  const owner = sandbox?.owns
    ? { noSleep, startupCommand, idleMinutes: job.idleMinutes ?? defaults.idleMinutes }
    : null;
  const named = job.workspaceId !== null;
  const syncTo = made?.syncTo ?? null;
  const policyFacts = sandbox && { kept: sandbox.owns, named, egress: job.size.egress, owner, syncTo };
  return jobStart({ ...job, policyFacts, from: made?.from ?? null }, defaults);
}

export function jobStart(stored: StoredStart, defaults: SandboxDefaults): JobStart {
  const { id: jobId, size, command, environment, timeoutMs, fileIds, sandbox, policyFacts } = stored;
  return {
    ...{ jobId, size, command, environment, timeoutMs },
    sandbox: sandbox &&
      policyFacts && {
        ...policyOf(policyFacts, defaults),
        ...{ id: sandbox.id, exists: !sandbox.makes, from: sandbox.makes ? versionRefOf(stored.from) : null },
      },
    // Who only borrows a sandbox cannot be woken by anybody.
    keepsAwake: sandbox !== null && !sandbox.owns,
    fileIds,
  };
}

function versionRefOf(origin: Origin | null): VersionRef | null {
  if (!origin) return null;
  const { accountId, workspaceId, version } = origin;
  return { accountId, workspaceId, version };
}

/** No more output comes: it has ended, or only its sandbox lives on. */
export function isScriptOver(job: Pick<Job, "status" | "scriptEndedAt">): boolean {
  return isTerminal(job.status) || job.scriptEndedAt !== null;
}

/** Something that happened to a job. `data` holds what its text for people is made of. */
export interface NewJobEvent {
  readonly at: Date;
  /** snake_case. */
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface JobEvent extends NewJobEvent {
  /** Rises with every event of the installation. */
  readonly id: number;
}
