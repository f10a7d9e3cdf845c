import type { AccountId, SandboxId } from "@mags/domain";
import { type RawBuilder, sql } from "kysely";
import type { UrlStore, UrlTarget } from "../app/url-store.ts";
import type { Database } from "./database.ts";
import { LIVE } from "./job-statements.ts";
import { storableJson } from "./storable.ts";
import { createUrlAliasRows } from "./url-alias-rows.ts";
import { createUrlLinkRows } from "./url-link-rows.ts";

interface TargetRow {
  readonly id: string;
  readonly account_id: string;
  readonly http_port: number | null;
  readonly url_private: boolean;
  readonly awake_since: Date | null;
}

/** Sandboxes whose persistent job lives. */
const TARGETS = sql`
  select sandboxes.id, sandboxes.account_id, http_port, url_private,
    (select began_at from awake_periods where sandbox_id = sandboxes.id and awake_periods.ended_at is null) as awake_since
  from sandboxes join jobs on jobs.id = owner_job_id
  where sandboxes.ended_at is null and ${LIVE}`;

export function createUrlStore(database: Database): UrlStore {
  async function target(condition: RawBuilder<boolean>): Promise<UrlTarget | null> {
    const { rows } = await database.run((db) => sql<TargetRow>`${TARGETS} and ${condition}`.execute(db));
    return rows[0] ? targetFromRow(rows[0]) : null;
  }

  return {
    ...createUrlAliasRows(database),
    ...createUrlLinkRows(database),

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
      return { target: await target(ofWorkspace) };
    },

    async named(asked, { domain }) {
      const statement = sql<{ readonly ordinal: number }>`
        select ordinal from jsonb_to_recordset(${storableJson({ asked })}::jsonb -> 'asked') as name
          (guest uuid, subdomain text, domain text, ordinal integer)
        join sandboxes on sandboxes.id = name.guest
        where (name.domain = ${domain} and name.subdomain = sandboxes.subdomain and http_port is not null)
          or exists (select from url_aliases as alias
            where alias.domain = name.domain and alias.subdomain = name.subdomain
              and alias.account_id = sandboxes.account_id and alias.workspace_id = sandboxes.workspace_id)`;
      const { rows } = await database.run((db) => statement.execute(db));
      return new Set(rows.map(({ ordinal }) => ordinal));
    },

    async setAccess(sandboxId, { port, isPrivate }) {
      const row = await database.run((db) =>
        db
          .updateTable("sandboxes")
          .set((on) => ({
            http_port: port ?? on.ref("http_port"),
            url_private: isPrivate ?? on.ref("url_private"),
          }))
          .where("id", "=", sandboxId)
          .where("ended_at", "is", null)
          .returning(["http_port", "url_private"])
          .executeTakeFirst(),
      );
      return row ? { port: row.http_port, isPrivate: row.url_private } : null;
    },
  };
}

function targetFromRow(row: TargetRow): UrlTarget {
  return {
    sandboxId: row.id as SandboxId,
    accountId: row.account_id as AccountId,
    port: row.http_port,
    isPrivate: row.url_private,
    awakeSince: row.awake_since,
  };
}
