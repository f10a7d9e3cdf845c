import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table installation (
    singleton boolean primary key generated always as (true) stored,
    id uuid not null,
    epoch bigint not null
  )`,
  `create table accounts (
    id uuid primary key,
    email text not null unique,
    name text not null,
    role text not null check (role in ('admin', 'user')),
    bootstrap boolean not null,
    created_at timestamptz not null
  )`,
  "create unique index accounts_bootstrap on accounts (bootstrap) where bootstrap",
  `create table access_tokens (
    id uuid primary key,
    account_id uuid not null references accounts on delete cascade,
    name text not null,
    prefix text not null,
    hash bytea not null unique,
    created_at timestamptz not null,
    last_used_at timestamptz
  )`,
  "create index access_tokens_by_account on access_tokens (account_id)",
  `create table jobs (
    seq bigint not null unique generated always as identity,
    id uuid primary key,
    account_id uuid not null references accounts,
    name text not null,
    status text not null check (status in ('pending', 'running', 'sleeping', 'completed', 'error')),
    command_kind text not null check (command_kind in ('inline', 'url')),
    script text not null,
    environment jsonb not null,
    image text not null,
    vcpus integer not null,
    memory_mib integer not null,
    disk_gib integer not null,
    egress text not null,
    timeout_ms bigint,
    labels jsonb not null,
    no_sync boolean not null,
    micro_vm_id text,
    exit_code integer,
    error_message text,
    script_duration_ms bigint,
    created_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz,
    stop_requested_at timestamptz
  )`,
  "create index jobs_by_account on jobs (account_id, seq)",
  "create index jobs_by_name on jobs (account_id, name, seq)",
  "create index jobs_live on jobs (seq) where status in ('pending', 'running', 'sleeping')",
  `create table job_events (
    id bigint primary key generated always as identity,
    job_id uuid not null references jobs,
    at timestamptz not null,
    name text not null,
    data jsonb not null,
    report_id uuid
  )`,
  "create index job_events_by_job on job_events (job_id, id)",
  "create unique index job_events_by_report on job_events (report_id) where report_id is not null",
];

export const begin: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
