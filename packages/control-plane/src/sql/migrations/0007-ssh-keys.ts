import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table account_ssh_keys (
    id uuid primary key,
    account_id uuid not null references accounts on delete cascade,
    name text not null,
    type text not null,
    blob bytea not null,
    fingerprint text not null,
    created_at timestamptz not null,
    last_used_at timestamptz,
    unique (account_id, fingerprint),
    unique (account_id, name)
  )`,
  "create index account_ssh_keys_by_fingerprint on account_ssh_keys (fingerprint)",
  `create table ssh_key_challenges (
    challenge text primary key,
    account_id uuid not null references accounts on delete cascade,
    fingerprint text not null,
    expires_at timestamptz not null
  )`,
  "create index ssh_key_challenges_by_account on ssh_key_challenges (account_id, expires_at)",
  "create index ssh_key_challenges_by_end on ssh_key_challenges (expires_at)",
];

/** Public keys that people keep on their accounts. One key may be on several accounts. */
export const sshKeys: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
