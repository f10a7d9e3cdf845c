import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table installation_secrets (
    name text primary key,
    sealed bytea not null,
    created_at timestamptz not null
  )`,
  `create table sandbox_ssh (
    sandbox_id uuid primary key references sandboxes,
    fingerprint text not null unique,
    sealed_key bytea not null,
    port integer unique check (port between 1 and 65535),
    created_at timestamptz not null
  )`,
  `create table retired_ports (
    port integer primary key,
    retired_at timestamptz not null
  )`,
];

/** What sandboxes are reached by from outside: it goes when they end. */
export const sshAccess: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
