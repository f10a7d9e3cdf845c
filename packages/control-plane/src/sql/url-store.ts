import { type AccountId, isUuid, type SandboxId } from "@mags/domain";
import { type RawBuilder, type Selectable, sql } from "kysely";
import type { UrlAlias, UrlLink, UrlStore, UrlTarget } from "../app/url-store.ts";
import type { Database } from "./database.ts";
import { LIVE } from "./job-statements.ts";
import { storableJson } from "./storable.ts";
import type { Tables } from "./tables.ts";

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

    async hasWorkspace(accountId, workspaceId) {
      const statement = sql<{ readonly there: boolean }>`select
        exists (select from workspaces
          where account_id = ${accountId} and name = ${workspaceId} and deleted_at is null)
        or exists (select from sandboxes
          where account_id = ${accountId} and workspace_id = ${workspaceId} and ended_at is null) as there`;
      const { rows } = await database.run((db) => statement.execute(db));
      return rows[0]?.there === true;
    },

    async addAlias({ id, accountId, domain, subdomain, workspaceId, createdAt, updatedAt }, { most }) {
      // Where there is one it is set to what it is, so that the row is returned.
      const statement = sql<Selectable<Tables["url_aliases"]>>`
        insert into url_aliases (id, account_id, domain, subdomain, workspace_id, created_at, updated_at)
        select ${id}::uuid, ${accountId}::uuid, ${domain}, ${subdomain}, ${workspaceId},
          ${createdAt}::timestamptz, ${updatedAt}::timestamptz
        where (select count(*) from url_aliases where account_id = ${accountId}) < ${most}
          or exists (select from url_aliases where domain = ${domain} and subdomain = ${subdomain})
        on conflict (domain, subdomain) do update set domain = excluded.domain
        returning *`;
      const { rows } = await database.run((db) => statement.execute(db));
      return rows[0] ? aliasFromRow(rows[0]) : null;
    },

    async moveAlias(accountId, { domain, subdomain }, { workspaceId, at }) {
      const row = await database.run((db) =>
        db
          .updateTable("url_aliases")
          .set({ workspace_id: workspaceId, updated_at: at })
          .where("account_id", "=", accountId)
          .where("domain", "=", domain)
          .where("subdomain", "=", subdomain)
          .returningAll()
          .executeTakeFirst(),
      );
      return row ? aliasFromRow(row) : null;
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

    async addLink({ id, sandboxId, port, createdAt, expiresAt }, { most }) {
      // One that is there already was put by this call, which was repeated.
      const statement = sql`
        insert into url_links (id, sandbox_id, port, created_at, expires_at)
        select ${id}::uuid, ${sandboxId}::uuid, ${port}::integer, ${createdAt}::timestamptz, ${expiresAt}::timestamptz
        where exists (select from url_links where id = ${id})
          or (select count(*) from url_links
            where sandbox_id = ${sandboxId} and revoked_at is null and expires_at > ${createdAt}) < ${most}
        on conflict (id) do update set id = excluded.id
        returning id`;
      return (await database.run((db) => statement.execute(db))).rows.length > 0;
    },

    async links(sandboxId, { now }) {
      const rows = await database.run((db) =>
        db
          .selectFrom("url_links")
          .selectAll()
          .where("sandbox_id", "=", sandboxId)
          .where("expires_at", ">", now)
          .orderBy("created_at")
          .orderBy("id")
          .execute(),
      );
      return rows.map(linkFromRow);
    },

    async revokeLink(sandboxId, id, at) {
      if (!isUuid(id)) return false;
      const row = await database.run((db) =>
        db
          .updateTable("url_links")
          .set({ revoked_at: sql<Date>`coalesce(revoked_at, ${at})` })
          .where("id", "=", id)
          .where("sandbox_id", "=", sandboxId)
          .returning("id")
          .executeTakeFirst(),
      );
      return row !== undefined;
    },

    async removeExpiredLinks(now) {
      await database.run((db) => db.deleteFrom("url_links").where("expires_at", "<=", now).execute());
    },

    async linkStands(id) {
      const row = await database.run((db) =>
        db.selectFrom("url_links").select("revoked_at").where("id", "=", id).executeTakeFirst(),
      );
      return row !== undefined && row.revoked_at === null;
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

function aliasFromRow(row: Selectable<Tables["url_aliases"]>): UrlAlias {
  return {
    id: row.id,
    accountId: row.account_id as AccountId,
    domain: row.domain,
    subdomain: row.subdomain,
    workspaceId: row.workspace_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function linkFromRow(row: Selectable<Tables["url_links"]>): UrlLink {
  return {
    id: row.id,
    sandboxId: row.sandbox_id as SandboxId,
    port: row.port,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}
