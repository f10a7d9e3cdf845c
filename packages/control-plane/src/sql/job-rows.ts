import type { AccountId, JobCommand, JobId, MicroVmId, MicroVmSize, SandboxId, WorkspaceId } from "@mags/domain";
import type { Kysely, Selectable } from "kysely";
import type { Job, JobEvent, NewJob, StoredStart } from "../app/job.ts";
import type { LiveJob } from "../app/job-store.ts";
import type { JobSync, SandboxState, SandboxTransition } from "../app/sandbox.ts";
import type { Tables } from "./tables.ts";
import { originFromRow, TARGET_COLUMNS, type TargetRow, targetFromRow } from "./workspace-rows.ts";

type Row = Selectable<Tables["jobs"]>;

/** What every query for jobs selects: all but the script and its environment. */
const JOB_COLUMNS = [
  ...(["id", "account_id", "name", "status", "image", "vcpus", "memory_mib", "disk_gib", "egress"] as const),
  ...(["labels", "no_sync", "workspace_id", "persistent", "no_sleep", "startup_command", "idle_minutes"] as const),
  ...(["sandbox_id", "makes_sandbox", "owns_sandbox", "script_ended_at", "micro_vm_id", "exit_code"] as const),
  ...(["error_message", "script_duration_ms", "created_at", "started_at", "completed_at"] as const),
] satisfies readonly (keyof Row)[];

const START_COLUMNS = [
  ...(["id", "command_kind", "script", "environment", "image", "vcpus", "memory_mib", "disk_gib"] as const),
  ...(["egress", "timeout_ms", "file_ids", "sandbox_id", "makes_sandbox", "owns_sandbox"] as const),
  ...(["account_id", "workspace_id"] as const),
] satisfies readonly (keyof Row)[];

/** What the disk of a sandbox was made from. */
const FROM_COLUMNS = ["from_workspace_id", "from_name", "from_seq", "from_sha256"] as const;

const LIVE_COLUMNS = [
  ...(["id", "account_id", "status", "stop_requested_at", "image", "vcpus", "memory_mib", "disk_gib"] as const),
  ...(["sandbox_id", "makes_sandbox", "owns_sandbox", "script_ended_at"] as const),
] satisfies readonly (keyof Row)[];

type SizeRow = Pick<Row, "image" | "vcpus" | "memory_mib" | "disk_gib" | "egress">;
type RoleRow = Pick<Row, "sandbox_id" | "makes_sandbox" | "owns_sandbox">;

interface JobRow extends Pick<Row, (typeof JOB_COLUMNS)[number]> {
  readonly subdomain: string | null;
  readonly http_port: number | null;
  readonly url_private: boolean | null;
  readonly sandbox_state: SandboxState | null;
  readonly owner_job_id: string | null;
  readonly last_transition: SandboxTransition | null;
  readonly syncs_to: string | null;
  readonly synced_seq: number | null;
  readonly last_synced_at: Date | null;
}

interface LiveRow extends Pick<Row, (typeof LIVE_COLUMNS)[number]> {
  readonly sandbox_state: SandboxState | null;
}

interface StartRow
  extends Pick<Row, (typeof START_COLUMNS)[number]>,
    TargetRow,
    Pick<Selectable<Tables["sandboxes"]>, (typeof FROM_COLUMNS)[number]> {
  readonly kept: boolean | null;
  readonly sandbox_egress: Row["egress"] | null;
  readonly owner_id: string | null;
  readonly owner_no_sleep: boolean | null;
  readonly owner_idle_minutes: number | null;
  readonly owner_startup_command: string | null;
}

const ofJobs = <C extends string>(columns: readonly C[]) => columns.map((column) => `jobs.${column}` as const);

/** Jobs as the app knows them. */
export function selectJobs(db: Kysely<Tables>) {
  return db
    .selectFrom("jobs")
    .leftJoin("sandboxes", "sandboxes.id", "jobs.sandbox_id")
    .select(ofJobs(JOB_COLUMNS))
    .leftJoin("workspaces", "workspaces.id", "sandboxes.syncs_to")
    .select(["sandboxes.subdomain", "sandboxes.state as sandbox_state", "sandboxes.owner_job_id"])
    .select(["sandboxes.http_port", "sandboxes.url_private"])
    .select(["sandboxes.last_transition", "sandboxes.syncs_to"])
    .select(["workspaces.seq as synced_seq", "workspaces.last_synced_at"]);
}

/** What a start of a job needs. */
export function selectStarts(db: Kysely<Tables>) {
  return db
    .selectFrom("jobs")
    .leftJoin("sandboxes", "sandboxes.id", "jobs.sandbox_id")
    .leftJoin("jobs as owner", (on) =>
      // An owner that ended in error owns it no more.
      on.onRef("owner.id", "=", "sandboxes.owner_job_id").on("owner.completed_at", "is", null),
    )
    .leftJoin("workspaces", "workspaces.id", "sandboxes.syncs_to")
    .select(ofJobs(START_COLUMNS))
    .select(FROM_COLUMNS.map((column) => `sandboxes.${column}` as const))
    .select(TARGET_COLUMNS)
    .select([
      "sandboxes.kept",
      "sandboxes.egress as sandbox_egress",
      "owner.id as owner_id",
      "owner.no_sleep as owner_no_sleep",
    ])
    .select(["owner.idle_minutes as owner_idle_minutes", "owner.startup_command as owner_startup_command"]);
}

/** What the queue and the reconciler know jobs by. */
export function selectLive(db: Kysely<Tables>) {
  return db
    .selectFrom("jobs")
    .leftJoin("sandboxes", "sandboxes.id", "jobs.sandbox_id")
    .select(ofJobs(LIVE_COLUMNS))
    .select("sandboxes.state as sandbox_state");
}

export function jobFromRow(row: JobRow): Job {
  const role = roleFromRow(row);
  return {
    id: row.id as JobId,
    accountId: row.account_id as AccountId,
    name: row.name,
    status: row.status,
    size: sizeFromRow(row),
    labels: row.labels,
    noSync: row.no_sync,
    workspaceId: row.workspace_id,
    persistent: row.persistent,
    noSleep: row.no_sleep,
    startupCommand: row.startup_command,
    idleMinutes: row.idle_minutes,
    sandbox: role && {
      ...role,
      subdomain: row.subdomain ?? "",
      ...{ urlPort: row.http_port, isUrlPrivate: row.url_private ?? false },
      state: row.sandbox_state ?? "gone",
      ownerJobId: row.owner_job_id as JobId | null,
      lastTransition: row.last_transition,
      sync: row.syncs_to === null ? null : syncFromRow(row.syncs_to, row),
    },
    scriptEndedAt: row.script_ended_at,
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
  const role = roleFromRow(row);
  return {
    id: row.id as JobId,
    accountId: row.account_id as AccountId,
    status: row.status,
    stopRequested: row.stop_requested_at !== null,
    image: row.image,
    size: { vcpus: row.vcpus, memoryMiB: row.memory_mib, diskGiB: row.disk_gib },
    sandbox: role && { ...role, state: row.sandbox_state ?? "gone" },
    scriptOver: row.script_ended_at !== null,
  };
}

export function startFromRow(row: StartRow): StoredStart {
  const command: JobCommand =
    row.command_kind === "url" ? { kind: "url", url: row.script } : { kind: "inline", script: row.script };
  const owner = row.owner_id !== null && {
    noSleep: row.owner_no_sleep ?? false,
    // Every owner has one.
    idleMinutes: row.owner_idle_minutes ?? 0,
    startupCommand: row.owner_startup_command,
  };
  return {
    id: row.id as JobId,
    size: sizeFromRow(row),
    command,
    environment: row.environment,
    timeoutMs: row.timeout_ms,
    fileIds: row.file_ids,
    sandbox: roleFromRow(row),
    policyFacts:
      row.kept === null
        ? null
        : {
            ...{ kept: row.kept, named: row.workspace_id !== null, egress: row.sandbox_egress ?? row.egress },
            ...{ owner: owner || null, syncTo: targetFromRow(row) },
          },
    from: originFromRow(row),
  };
}

function syncFromRow(workspaceId: string, row: Pick<JobRow, "synced_seq" | "last_synced_at">): JobSync {
  return { workspaceId: workspaceId as WorkspaceId, seq: row.synced_seq, lastSyncedAt: row.last_synced_at };
}

function roleFromRow(row: RoleRow): NewJob["sandbox"] {
  const { sandbox_id: id, makes_sandbox: makes, owns_sandbox: owns } = row;
  return id === null ? null : { id: id as SandboxId, makes, owns };
}

export function sizeFromRow(row: SizeRow): MicroVmSize {
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
