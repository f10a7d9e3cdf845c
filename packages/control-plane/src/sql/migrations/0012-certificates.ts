import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

const STATEMENTS = [
  `create table url_certificates (
    host text primary key,
    certificate text,
    sealed_key bytea,
    issued_at timestamptz,
    expires_at timestamptz,
    tried_at timestamptz not null,
    failures integer not null,
    problem text
  )`,
  `create table url_certificate_tries (
    host text not null,
    tried_at timestamptz not null,
    issued boolean not null default false,
    primary key (host, tried_at)
  )`,
  `create table url_challenges (
    host text not null,
    token text not null,
    answer text not null,
    primary key (host, token)
  )`,
];

/** Certificates of aliases that somebody else gives. */
export const certificates: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
  },
};
