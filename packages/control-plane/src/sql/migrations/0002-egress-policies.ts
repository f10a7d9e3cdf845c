import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

/** A policy was a word; it is JSON now, as an allow-list has hosts. */
export const egressPolicies: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`alter table jobs alter column egress type jsonb using to_jsonb(egress)`.execute(db);
  },
};
