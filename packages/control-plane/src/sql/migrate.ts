import { AppError } from "@mags/core";
import { type Kysely, sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import { begin } from "./migrations/0001-begin.ts";
import { egressPolicies } from "./migrations/0002-egress-policies.ts";
import { sandboxes } from "./migrations/0003-sandboxes.ts";
import { uploads } from "./migrations/0004-uploads.ts";
import { workspaces } from "./migrations/0005-workspaces.ts";
import { hydration } from "./migrations/0006-hydration.ts";
import { sshKeys } from "./migrations/0007-ssh-keys.ts";
import { auditLog } from "./migrations/0008-audit-log.ts";
import { sshAccess } from "./migrations/0009-ssh-access.ts";
import { auditLogByAction } from "./migrations/0010-audit-log-by-action.ts";
import { urls } from "./migrations/0011-urls.ts";
import { certificates } from "./migrations/0012-certificates.ts";
import { accountOfCertificateTries } from "./migrations/0013-account-of-certificate-tries.ts";
import type { Tables } from "./tables.ts";

/** In order of their names. One that was released is never changed. */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  "0001_begin": begin,
  "0002_egress_policies": egressPolicies,
  "0003_sandboxes": sandboxes,
  "0004_uploads": uploads,
  "0005_workspaces": workspaces,
  "0006_hydration": hydration,
  "0007_ssh_keys": sshKeys,
  "0008_audit_log": auditLog,
  "0009_ssh_access": sshAccess,
  "0010_audit_log_by_action": auditLogByAction,
  "0011_urls": urls,
  "0012_certificates": certificates,
  "0013_account_of_certificate_tries": accountOfCertificateTries,
};

/**
 * Brings the tables to the form this build knows, under an advisory lock.
 * @throws AppError `unavailable` when the database has migrations that this build does not know.
 */
export async function migrate(db: Kysely<Tables>): Promise<void> {
  const unknown = (await executedMigrations(db)).filter((name) => !Object.hasOwn(MIGRATIONS, name));
  if (unknown.length > 0)
    throw new AppError(
      "unavailable",
      "the database was used by a newer version of magsd: start that version, or newer",
      {
        details: { unknown },
      },
    );
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}

async function executedMigrations(db: Kysely<Tables>): Promise<string[]> {
  const known = await sql<{ found: boolean }>`select to_regclass('kysely_migration') is not null as found`.execute(db);
  if (!known.rows[0]?.found) return [];
  const { rows } = await sql<{ name: string }>`select name from kysely_migration`.execute(db);
  return rows.map((row) => row.name);
}
