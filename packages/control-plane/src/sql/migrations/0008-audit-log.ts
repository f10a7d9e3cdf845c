import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  // No reference to accounts: what was done outlives who did it.
  `create table audit_log (
    id bigint primary key generated always as identity,
    note_id uuid not null unique,
    at timestamptz not null,
    account_id uuid,
    action text not null,
    target text,
    client_address text,
    data jsonb not null
  )`,
  "create index audit_log_by_account on audit_log (account_id, id)",
  "create index audit_log_of_nobody on audit_log (id) where account_id is null",
  "create index audit_log_by_action on audit_log (action, id)",
  "create index audit_log_by_time on audit_log (at)",
];

export const auditLog: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
