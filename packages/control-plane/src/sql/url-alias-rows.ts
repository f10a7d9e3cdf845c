import type { AccountId } from "@mags/domain";
import { type Selectable, sql, type Transaction } from "kysely";
import type { UrlAlias, UrlStore } from "../app/url-store.ts";
import type { Database } from "./database.ts";
import type { Tables } from "./tables.ts";

type Aliases = Pick<UrlStore, "addAlias" | "moveAlias" | "aliases" | "removeAlias">;

export function createUrlAliasRows(database: Database): Aliases {
  return {
    addAlias({ id, accountId, domain, subdomain, workspaceId, createdAt, updatedAt }, { most }) {
      // Where there is one it is set to what it is, so that the row is returned.
      const statement = sql<Selectable<Tables["url_aliases"]>>`
        insert into url_aliases (id, account_id, domain, subdomain, workspace_id, created_at, updated_at)
        select ${id}::uuid, ${accountId}::uuid, ${domain}, ${subdomain}, ${workspaceId},
          ${createdAt}::timestamptz, ${updatedAt}::timestamptz
        where (select count(*) from url_aliases where account_id = ${accountId}) < ${most}
          or exists (select from url_aliases where domain = ${domain} and subdomain = ${subdomain})
        on conflict (domain, subdomain) do update set domain = excluded.domain
        returning *`;
      return database.run((db) =>
        db.transaction().execute(async (tx) => {
          // Nobody else adds to the account's until the transaction ends.
          await tx.selectFrom("accounts").select("id").where("id", "=", accountId).forNoKeyUpdate().execute();
          if (!(await holdWorkspace(tx, accountId, workspaceId))) return "no_workspace";
          const { rows } = await statement.execute(tx);
          return rows[0] ? fromRow(rows[0]) : "too_many";
        }),
      );
    },

    moveAlias(accountId, { domain, subdomain }, { workspaceId, at }) {
      return database.run((db) =>
        db.transaction().execute(async (tx) => {
          if (!(await holdWorkspace(tx, accountId, workspaceId))) return "no_workspace";
          const row = await tx
            .updateTable("url_aliases")
            .set({ workspace_id: workspaceId, updated_at: at })
            .where("account_id", "=", accountId)
            .where("domain", "=", domain)
            .where("subdomain", "=", subdomain)
            .returningAll()
            .executeTakeFirst();
          return row ? fromRow(row) : "no_alias";
        }),
      );
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
      return rows.map(fromRow);
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

/** Whether an alias can lead there. A synced workspace is not deleted, with its aliases, until the transaction ends. */
async function holdWorkspace(tx: Transaction<Tables>, accountId: AccountId, workspaceId: string): Promise<boolean> {
  const synced = await tx
    .selectFrom("workspaces")
    .select("id")
    .where("account_id", "=", accountId)
    .where("name", "=", workspaceId)
    .where("deleted_at", "is", null)
    .forKeyShare()
    .execute();
  if (synced.length > 0) return true;
  const live = await tx
    .selectFrom("sandboxes")
    .select("id")
    .where("account_id", "=", accountId)
    .where("workspace_id", "=", workspaceId)
    .where("ended_at", "is", null)
    .execute();
  return live.length > 0;
}

function fromRow(row: Selectable<Tables["url_aliases"]>): UrlAlias {
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
