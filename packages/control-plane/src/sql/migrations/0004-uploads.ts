import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table uploads (
    id uuid primary key,
    account_id uuid not null references accounts,
    name text not null,
    size_bytes bigint not null,
    created_at timestamptz not null
  )`,
  "alter table jobs add column file_ids uuid[] not null default '{}'",
  "create index jobs_by_file on jobs using gin (file_ids) where file_ids <> '{}'",
];

export const uploads: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
