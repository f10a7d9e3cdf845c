import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `alter table sandboxes
    add column http_port integer check (http_port between 1 and 65535),
    add column url_private boolean not null default false`,
  "create index sandboxes_of_workspace on sandboxes (account_id, workspace_id, created_at)",
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
  "create index url_links_by_expiry on url_links (expires_at)",
  `create table url_accesses (
    id bigint generated always as identity primary key,
    sandbox_id uuid not null references sandboxes on delete cascade,
    at timestamptz not null,
    host text not null,
    client_address text not null,
    method text not null,
    path text not null,
    status smallint not null,
    duration_ms double precision not null,
    bytes_in bigint not null,
    bytes_out bigint not null
  )`,
  "create index url_accesses_by_sandbox on url_accesses (sandbox_id, id)",
  "create index url_accesses_by_time on url_accesses (at)",
  // A row for each kind of answer that there was in a day. bucket: of the durations, see the access log.
  `create table url_traffic (
    sandbox_id uuid not null references sandboxes on delete cascade,
    account_id uuid not null references accounts on delete cascade,
    day date not null,
    status_class smallint not null,
    bucket smallint not null,
    requests bigint not null,
    bytes_in bigint not null,
    bytes_out bigint not null,
    duration_ms double precision not null,
    primary key (sandbox_id, day, status_class, bucket)
  )`,
  "create index url_traffic_by_account on url_traffic (account_id, day)",
  // Of what gateways told, so that what is told again counts once.
  `create table url_batches (
    id uuid primary key,
    at timestamptz not null
  )`,
  "create index url_batches_by_time on url_batches (at)",
];

/** The web servers of sandboxes, and the names that lead to them. */
export const urls: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
