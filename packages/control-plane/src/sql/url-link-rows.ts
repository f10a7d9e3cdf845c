import { isUuid, type SandboxId } from "@mags/domain";
import { type Selectable, sql } from "kysely";
import type { UrlLink, UrlStore } from "../app/url-store.ts";
import type { Database } from "./database.ts";
import type { Tables } from "./tables.ts";

type Links = Pick<UrlStore, "addLink" | "links" | "revokeLink" | "removeExpiredLinks" | "linkStands">;

export function createUrlLinkRows(database: Database): Links {
  return {
    addLink({ id, sandboxId, port, createdAt, expiresAt }, { most }) {
      const forget = sql`delete from url_links where id in (
        select id from url_links where sandbox_id = ${sandboxId} and revoked_at is not null
        order by revoked_at desc, id offset ${most})`;
      // One that is there already was put by this call, which was repeated.
      const add = sql`
        insert into url_links (id, sandbox_id, port, created_at, expires_at)
        select ${id}::uuid, ${sandboxId}::uuid, ${port}::integer, ${createdAt}::timestamptz, ${expiresAt}::timestamptz
        where exists (select from url_links where id = ${id})
          or (select count(*) from url_links
            where sandbox_id = ${sandboxId} and revoked_at is null and expires_at > ${createdAt}) < ${most}
        on conflict (id) do update set id = excluded.id
        returning id`;
      return database.run((db) =>
        db.transaction().execute(async (tx) => {
          // Nobody else adds to the sandbox's until the transaction ends.
          await tx.selectFrom("sandboxes").select("id").where("id", "=", sandboxId).forNoKeyUpdate().execute();
          await forget.execute(tx);
          return (await add.execute(tx)).rows.length > 0;
        }),
      );
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
      return rows.map(fromRow);
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

function fromRow(row: Selectable<Tables["url_links"]>): UrlLink {
  return {
    id: row.id,
    sandboxId: row.sandbox_id as SandboxId,
    port: row.port,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}
