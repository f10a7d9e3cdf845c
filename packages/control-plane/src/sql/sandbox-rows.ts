import type { AccountId, JobId, MicroVmId, SandboxId, WorkspaceId } from "@mags/domain";
import type { Kysely, Selectable } from "kysely";
import type { Sandbox } from "../app/sandbox.ts";
import type { ChangedStatus, LiveSandbox } from "../app/sandbox-store.ts";
import type { JobInSandbox } from "../app/workspace-use.ts";
import { sizeFromRow } from "./job-rows.ts";
import { LIVE } from "./job-statements.ts";
import type { Tables } from "./tables.ts";
import { originFromRow } from "./workspace-rows.ts";

type Row = Selectable<Tables["sandboxes"]>;
export interface LiveRow extends Row {
  readonly release_requested: boolean;
  readonly maker_lives: boolean;
  /** Of the workspace that it is published as. */
  readonly seq: number | null;
}

export function ofWorkspace(db: Kysely<Tables>, accountId: AccountId, workspaceId: string) {
  return db
    .selectFrom("sandboxes")
    .selectAll()
    .where("account_id", "=", accountId)
    .where("workspace_id", "=", workspaceId)
    .where("ended_at", "is", null)
    .where("release_requested_at", "is", null);
}

export async function liveJobsIn(
  db: Kysely<Tables>,
  sandboxId: SandboxId,
): Promise<(JobInSandbox & Pick<Selectable<Tables["jobs"]>, "status">)[]> {
  const rows = await db
    .selectFrom("jobs")
    .select(["id", "name", "status", "script_ended_at", "endless"])
    .where("sandbox_id", "=", sandboxId)
    .where(LIVE)
    .orderBy("seq")
    .execute();
  return rows.map(({ id, name, status, script_ended_at, endless }) => ({
    id: id as JobId,
    name,
    status,
    scriptOver: script_ended_at !== null,
    endless,
  }));
}

export function sandboxFromRow(row: Row): Sandbox {
  return {
    id: row.id as SandboxId,
    accountId: row.account_id as AccountId,
    workspaceId: row.workspace_id,
    state: row.state,
    kept: row.kept,
    ownerJobId: row.owner_job_id as JobId | null,
    microVmId: row.micro_vm_id as MicroVmId | null,
    size: sizeFromRow(row),
    from: originFromRow(row),
    syncsTo: row.syncs_to as WorkspaceId | null,
  };
}

export function liveFromRow(row: LiveRow): LiveSandbox {
  const { id, accountId, state, microVmId, size, syncsTo } = sandboxFromRow(row);
  return {
    ...{ id, accountId, microVmId, size, releaseRequested: row.release_requested, makerLives: row.maker_lives },
    hydrated: row.from_workspace_id === null || row.hydrated_at !== null,
    sync: syncsTo && { workspaceId: syncsTo, seq: row.seq },
    // The rows asked for have not ended.
    state: state as LiveSandbox["state"],
  };
}

export const changedFromRow = (row: { readonly job_id: string; readonly status: string }): ChangedStatus => ({
  jobId: row.job_id as JobId,
  // As the table's own check has it.
  status: row.status as ChangedStatus["status"],
});
