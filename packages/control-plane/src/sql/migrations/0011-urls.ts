import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `alter table sandboxes
    add column http_port integer check (http_port between 1 and 65535),
    add column url_private boolean not null default false`,
  `create table url_aliases (
    id uuid primary key,
    account_id uuid not null references accounts on delete cascade,
    domain text not null,
    subdomain text not null,
    workspace_id text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (domain, subdomain)
  )`,
  "create index url_aliases_by_workspace on url_aliases (account_id, workspace_id)",
  `create table url_links (
    id uuid primary key,
    sandbox_id uuid not null references sandboxes on delete cascade,
    port integer not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz
  )`,
  "create index url_links_by_sandbox on url_links (sandbox_id, created_at)",
];

/** The web servers of sandboxes, and the names that lead to them. */
export const urls: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
