import type { AccountId, SandboxId, SyncTarget, WorkspaceId } from "@mags/domain";
import { type Kysely, type Selectable, sql } from "kysely";
import type { Origin, Workspace } from "../app/workspace.ts";
import type { Tables } from "./tables.ts";

type Row = Selectable<Tables["workspaces"]>;
type SandboxRow = Selectable<Tables["sandboxes"]>;

interface WorkspaceRow extends Row {
  readonly releasing: string | null;
}

const RELEASING = sql<string | null>`(
  select sandboxes.id from sandboxes
  where syncs_to = workspaces.id and ended_at is null and release_requested_at is not null
)`;

/** Workspaces as the app knows them. */
export function selectWorkspaces(db: Kysely<Tables>) {
  return db.selectFrom("workspaces").selectAll("workspaces").select(RELEASING.as("releasing"));
}

/** That of a name. */
export function workspaceNamed(db: Kysely<Tables>, accountId: AccountId, name: string) {
  return selectWorkspaces(db)
    .where("account_id", "=", accountId)
    .where("name", "=", name)
    .where("deleted_at", "is", null);
}

export function workspaceFromRow(row: WorkspaceRow): Workspace {
  const { seq, sha256 } = row;
  const { disk_bytes: diskBytes, data_bytes: dataBytes, stored_bytes: storedBytes } = row;
  return {
    id: row.id as WorkspaceId,
    accountId: row.account_id as AccountId,
    name: row.name,
    image: row.image,
    latest: seq === null || sha256 === null ? null : { seq, sha256, diskBytes, dataBytes, storedBytes },
    forkedFrom: forkedFromRow(row),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    lastSyncedAt: row.last_synced_at,
    restoring: row.restoring_at !== null,
    releasing: row.releasing as SandboxId | null,
  };
}

/** What the disk of a sandbox was made from. */
export function originFromRow(
  row: Pick<SandboxRow, "account_id" | "from_workspace_id" | "from_name" | "from_seq" | "from_sha256">,
): Origin | null {
  const { from_workspace_id: id, from_name: name, from_seq: seq, from_sha256: sha256 } = row;
  if (id === null || name === null || seq === null || sha256 === null) return null;
  return { accountId: row.account_id as AccountId, workspaceId: id as WorkspaceId, name, version: { seq, sha256 } };
}

/** Of the workspace that a sandbox is published as, joined to it. */
export const TARGET_COLUMNS = [
  ...([
    "workspaces.id as target_id",
    "workspaces.account_id as target_account",
    "workspaces.name as target_name",
  ] as const),
  ...(["workspaces.forked_from_id", "workspaces.forked_from_name", "workspaces.forked_from_seq"] as const),
] as const;

export interface TargetRow extends Forked {
  readonly target_id: string | null;
  readonly target_account: string | null;
  readonly target_name: string | null;
}

type Forked = Pick<Row, "forked_from_id" | "forked_from_name" | "forked_from_seq">;

export function targetFromRow(row: TargetRow): SyncTarget | null {
  const { target_id: id, target_account: accountId, target_name: name } = row;
  if (id === null || accountId === null || name === null) return null;
  return {
    ...{ accountId: accountId as AccountId, workspaceId: id as WorkspaceId, name },
    forkedFrom: forkedFromRow(row),
  };
}

function forkedFromRow(row: Forked): SyncTarget["forkedFrom"] {
  const { forked_from_id: id, forked_from_name: name, forked_from_seq: seq } = row;
  return id === null || name === null || seq === null ? null : { workspaceId: id as WorkspaceId, name, seq };
}
