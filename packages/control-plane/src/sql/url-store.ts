import type { AccountId, JobId, SandboxId } from "@mags/domain";
import { type RawBuilder, sql } from "kysely";
import type { UrlAlias, UrlStore, UrlTarget } from "../app/url-store.ts";
import type { Database } from "./database.ts";
import { LIVE } from "./job-statements.ts";

interface TargetRow {
  readonly id: string;
  readonly account_id: string;
  readonly job_id: string;
  readonly state: UrlTarget["state"];
  readonly http_port: number | null;
  readonly url_private: boolean;
  readonly awake_since: Date | null;
}

interface AliasRow {
  readonly id: string;
  readonly account_id: string;
  readonly domain: string;
  readonly subdomain: string;
  readonly workspace_id: string;
  readonly created_at: Date;
}

/** Sandboxes whose persistent job lives. */
const TARGETS = sql`
  select sandboxes.id, sandboxes.account_id, jobs.id as job_id, state, http_port, url_private,
    (select began_at from awake_periods where sandbox_id = sandboxes.id and awake_periods.ended_at is null) as awake_since
  from sandboxes join jobs on jobs.id = owner_job_id
  where sandboxes.ended_at is null and ${LIVE}`;

export function createUrlStore(database: Database): UrlStore {
  async function target(condition: RawBuilder<boolean>): Promise<UrlTarget | null> {
    const { rows } = await database.run((db) => sql<TargetRow>`${TARGETS} and ${condition}`.execute(db));
    return rows[0] ? targetFromRow(rows[0]) : null;
  }

  return {
    bySubdomain: (subdomain) => target(sql`subdomain = ${subdomain}`),

    async byAlias({ domain, subdomain }) {
      const alias = await database.run((db) =>
        db
          .selectFrom("url_aliases")
          .select(["account_id", "workspace_id"])
          .where("domain", "=", domain)
          .where("subdomain", "=", subdomain)
          .executeTakeFirst(),
      );
      if (!alias) return null;
      const ofWorkspace = sql<boolean>`sandboxes.account_id = ${alias.account_id}
        and sandboxes.workspace_id = ${alias.workspace_id} and release_requested_at is null`;
      return { workspaceId: alias.workspace_id, target: await target(ofWorkspace) };
    },

    async setPort(sandboxId, port) {
      const { numUpdatedRows } = await database.run((db) =>
        db
          .updateTable("sandboxes")
          .set({ http_port: port })
          .where("id", "=", sandboxId)
          .where("ended_at", "is", null)
          .executeTakeFirst(),
      );
      return numUpdatedRows > 0n;
    },

    async putAlias({ id, accountId, domain, subdomain, workspaceId, createdAt, replaces }) {
      // Where nothing is to be changed it is set to what it is, so that the row is returned.
      const leads = replaces
        ? sql`case when url_aliases.account_id = excluded.account_id then excluded.workspace_id else url_aliases.workspace_id end`
        : sql`url_aliases.workspace_id`;
      const statement = sql<AliasRow>`
        insert into url_aliases (id, account_id, domain, subdomain, workspace_id, created_at, updated_at)
        values (${id}, ${accountId}, ${domain}, ${subdomain}, ${workspaceId}, ${createdAt}, ${createdAt})
        on conflict (domain, subdomain) do update
        set workspace_id = ${leads}, updated_at = excluded.updated_at
        returning *`;
      const { rows } = await database.run((db) => statement.execute(db));
      const [row] = rows;
      if (!row) throw new Error("an alias that was put is there");
      return aliasFromRow(row);
    },

    async aliases(accountId) {
      const rows = await database.run((db) =>
        db
          .selectFrom("url_aliases")
          .selectAll()
          .where("account_id", "=", accountId)
          .orderBy("domain")
          .orderBy("subdomain")
          .execute(),
      );
      return rows.map(aliasFromRow);
    },

    async removeAlias(accountId, { domain, subdomain }) {
      const { numDeletedRows } = await database.run((db) =>
        db
          .deleteFrom("url_aliases")
          .where("account_id", "=", accountId)
          .where("domain", "=", domain)
          .where("subdomain", "=", subdomain)
          .executeTakeFirst(),
      );
      return numDeletedRows > 0n;
    },
  };
}

function targetFromRow(row: TargetRow): UrlTarget {
  return {
    sandboxId: row.id as SandboxId,
    accountId: row.account_id as AccountId,
    jobId: row.job_id as JobId,
    state: row.state,
    port: row.http_port,
    isPrivate: row.url_private,
    awakeSince: row.awake_since,
  };
}

function aliasFromRow(row: AliasRow): UrlAlias {
  return {
    id: row.id,
    accountId: row.account_id as AccountId,
    domain: row.domain,
    subdomain: row.subdomain,
    workspaceId: row.workspace_id,
    createdAt: row.created_at,
  };
}
