import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

/** When the disk of a sandbox ceased to stand on the version that it was made from: since then it keeps none. */
export const hydration: Migration = {
  async up(db: Kysely<unknown>) {
    await sql.raw("alter table sandboxes add column hydrated_at timestamptz").execute(db);
  },
};
