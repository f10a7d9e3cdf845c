import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

/** Whose name an authority was asked for; null: from before that was written down. */
export const accountOfCertificateTries: Migration = {
  async up(db: Kysely<unknown>) {
    await sql.raw("alter table url_certificate_tries add column account_id uuid").execute(db);
  },
};
