import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table workspaces (
    id uuid primary key,
    account_id uuid not null references accounts,
    name text not null,
    image text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    seq integer,
    sha256 text,
    disk_bytes bigint not null default 0,
    data_bytes bigint not null default 0,
    stored_bytes bigint not null default 0,
    last_synced_at timestamptz,
    forked_from_id uuid,
    forked_from_name text,
    forked_from_seq integer,
    restoring_at timestamptz,
    deleted_at timestamptz,
    removed_at timestamptz,
    check ((seq is null) = (sha256 is null))
  )`,
  "create unique index workspaces_by_name on workspaces (account_id, name) where deleted_at is null",
  `create index workspaces_unfinished on workspaces (id)
    where restoring_at is not null or (deleted_at is not null and removed_at is null)`,
  // Deferred: a sandbox is stored before the workspace that it begins, so that a sandbox that is not stored begins none.
  `alter table sandboxes
    add column syncs_to uuid references workspaces deferrable initially deferred,
    add column from_workspace_id uuid references workspaces,
    add column from_name text,
    add column from_seq integer,
    add column from_sha256 text`,
  // One that is being released still writes, unlike the name that it is out of the way of.
  "create unique index sandboxes_by_sync on sandboxes (syncs_to) where ended_at is null",
  "create index sandboxes_by_origin on sandboxes (from_workspace_id) where ended_at is null",
];

/** Synced workspaces, and what the disks of sandboxes stand on: these rows keep versions from being collected. */
export const workspaces: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
