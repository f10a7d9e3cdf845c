import type { AccountId, JobCommand, JobId, JobStart, MicroVmId } from "@mags/domain";
import type { Selectable } from "kysely";
import type { Job, JobEvent } from "../app/job.ts";
import type { LiveJob } from "../app/job-store.ts";
import type { Tables } from "./tables.ts";

/** What every query for jobs selects: all but the script and its environment. */
export const JOB_COLUMNS = [
  "id",
  "account_id",
  "name",
  "status",
  "image",
  "vcpus",
  "memory_mib",
  "disk_gib",
  "egress",
  "labels",
  "no_sync",
  "micro_vm_id",
  "exit_code",
  "error_message",
  "script_duration_ms",
  "created_at",
  "started_at",
  "completed_at",
] as const satisfies readonly (keyof Tables["jobs"])[];

type JobRow = Pick<Selectable<Tables["jobs"]>, (typeof JOB_COLUMNS)[number]>;

/** What a start of a job needs. */
export const START_COLUMNS = [
  "id",
  "command_kind",
  "script",
  "environment",
  "image",
  "vcpus",
  "memory_mib",
  "disk_gib",
  "egress",
  "timeout_ms",
  "file_ids",
] as const satisfies readonly (keyof Tables["jobs"])[];

/** What the queue and the reconciler know jobs by. */
export const LIVE_COLUMNS = [
  "id",
  "account_id",
  "status",
  "stop_requested_at",
  "image",
  "vcpus",
  "memory_mib",
  "disk_gib",
] as const satisfies readonly (keyof Tables["jobs"])[];

type LiveRow = Pick<Selectable<Tables["jobs"]>, (typeof LIVE_COLUMNS)[number]>;
type StartRow = Pick<Selectable<Tables["jobs"]>, (typeof START_COLUMNS)[number]>;
type SizeRow = Pick<StartRow, "image" | "vcpus" | "memory_mib" | "disk_gib" | "egress">;

export function jobFromRow(row: JobRow): Job {
  return {
    id: row.id as JobId,
    accountId: row.account_id as AccountId,
    name: row.name,
    status: row.status,
    size: sizeFromRow(row),
    labels: row.labels,
    noSync: row.no_sync,
    microVmId: row.micro_vm_id as MicroVmId | null,
    exitCode: row.exit_code,
    errorMessage: row.error_message,
    scriptDurationMs: row.script_duration_ms,
    createdAt: row.created_at,
    startedAt: row.started_at,
    completedAt: row.completed_at,
  };
}

export function liveJobFromRow(row: LiveRow): LiveJob {
  return {
    id: row.id as JobId,
    accountId: row.account_id as AccountId,
    status: row.status,
    stopRequested: row.stop_requested_at !== null,
    image: row.image,
    size: { vcpus: row.vcpus, memoryMiB: row.memory_mib, diskGiB: row.disk_gib },
  };
}

export function startFromRow(row: StartRow): JobStart {
  const command: JobCommand =
    row.command_kind === "url" ? { kind: "url", url: row.script } : { kind: "inline", script: row.script };
  return {
    jobId: row.id as JobId,
    size: sizeFromRow(row),
    command,
    environment: row.environment,
    timeoutMs: row.timeout_ms,
    sandbox: null,
    keepsAwake: false,
    fileIds: row.file_ids,
  };
}

function sizeFromRow(row: SizeRow): JobStart["size"] {
  return {
    image: row.image,
    vcpus: row.vcpus,
    memoryMiB: row.memory_mib,
    diskGiB: row.disk_gib,
    egress: row.egress,
  };
}

export function eventFromRow(row: Pick<Selectable<Tables["job_events"]>, "id" | "at" | "name" | "data">): JobEvent {
  return { id: row.id, at: row.at, name: row.name, data: row.data };
}
