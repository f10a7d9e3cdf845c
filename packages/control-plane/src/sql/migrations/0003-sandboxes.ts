import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table sandboxes (
    id uuid primary key,
    account_id uuid not null references accounts,
    workspace_id text,
    subdomain text not null unique,
    kept boolean not null,
    owner_job_id uuid,
    state text not null check (state in ('starting', 'running', 'sleeping', 'gone')),
    micro_vm_id text,
    image text not null,
    vcpus integer not null,
    memory_mib integer not null,
    disk_gib integer not null,
    egress jsonb not null,
    last_transition jsonb,
    created_at timestamptz not null,
    release_requested_at timestamptz,
    ended_at timestamptz
  )`,
  // One that is being released is out of the way of the next.
  `create unique index sandboxes_by_workspace on sandboxes (account_id, workspace_id)
    where ended_at is null and release_requested_at is null`,
  "create index sandboxes_by_owner on sandboxes (owner_job_id) where ended_at is null",
  "create index sandboxes_live on sandboxes (created_at) where ended_at is null",
  `create table awake_periods (
    sandbox_id uuid not null references sandboxes,
    account_id uuid not null references accounts,
    began_at timestamptz not null,
    ended_at timestamptz
  )`,
  "create unique index awake_periods_open on awake_periods (sandbox_id) where ended_at is null",
  "create index awake_periods_by_account on awake_periods (account_id, ended_at)",
  `alter table jobs
    add column workspace_id text,
    add column persistent boolean not null default false,
    add column no_sleep boolean not null default false,
    add column startup_command text,
    add column idle_minutes integer,
    add column endless boolean not null default false,
    add column sandbox_id uuid references sandboxes,
    add column makes_sandbox boolean not null default false,
    add column owns_sandbox boolean not null default false,
    add column script_ended_at timestamptz`,
  "create index jobs_by_workspace on jobs (account_id, workspace_id, seq) where workspace_id is not null",
  "create index jobs_by_sandbox on jobs (sandbox_id, seq) where sandbox_id is not null",
];

/** Sandboxes outlive the scripts of jobs; jobs run in one, or in a microVM of their own as before. */
export const sandboxes: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
