import { type Kysely, sql } from "kysely";
import type { Migration } from "kysely/migration";

/** The last entries of an account with one action, however rare that is among its own or others' entries. */
export const auditLogByAction: Migration = {
  async up(db: Kysely<unknown>) {
    await sql.raw("create index audit_log_by_account_and_action on audit_log (account_id, action, id)").execute(db);
  },
};
