import type { AccountId } from "@mags/domain";
import { type Selectable, sql } from "kysely";
import type { StoredCertificate, UrlCertificateStore } from "../app/url-certificate-store.ts";
import type { Database } from "./database.ts";
import { storableText } from "./storable.ts";
import type { Tables } from "./tables.ts";

export function createUrlCertificateStore(database: Database): UrlCertificateStore {
  return {
    async aliasHosts({ but }) {
      const rows = await database.run((db) => {
        const all = db.selectFrom("url_aliases").select(["subdomain", "domain", "account_id"]).orderBy("created_at");
        return (but === null ? all : all.where("domain", "<>", but)).execute();
      });
      return rows.map(({ subdomain, domain, account_id }) => ({
        host: `${subdomain}.${domain}`,
        accountId: account_id as AccountId,
      }));
    },

    async standings({ but }) {
      const rows = await database.run(
        (db) => {
          const all = db
            .selectFrom("url_aliases")
            .leftJoin("url_certificates", (on) =>
              on.on(sql`url_aliases.subdomain || '.' || url_aliases.domain`, "=", sql.ref("url_certificates.host")),
            )
            .select(["subdomain", "domain", "expires_at", "tried_at", "problem"]);
          return (but === null ? all : all.where("domain", "<>", but)).execute();
        },
        { patienceMs: 0 },
      );
      return rows.map(({ subdomain, domain, expires_at: expiresAt, tried_at: at, problem }) => ({
        host: `${subdomain}.${domain}`,
        expiresAt,
        failure: at && problem !== null ? { at, problem } : null,
      }));
    },

    async all() {
      const rows = await database.run((db) => db.selectFrom("url_certificates").selectAll().execute());
      return rows.map(fromRow);
    },

    async get(host) {
      const row = await database.run((db) =>
        db.selectFrom("url_certificates").selectAll().where("host", "=", host).executeTakeFirst(),
      );
      return row ? fromRow(row) : null;
    },

    async putTry({ host, accountId, at }, { since }) {
      await database.run(async (db) => {
        await db.deleteFrom("url_certificate_tries").where("tried_at", "<", since).execute();
        await db
          .insertInto("url_certificate_tries")
          .values({ host, account_id: accountId, tried_at: at })
          .onConflict((on) => on.doNothing())
          .execute();
      });
    },

    async triesSince(at) {
      const rows = await database.run((db) =>
        db.selectFrom("url_certificate_tries").selectAll().where("tried_at", ">=", at).execute(),
      );
      return rows.map(({ host, account_id, tried_at: at, issued }) => ({
        ...{ host, at, issued },
        accountId: account_id as AccountId | null,
      }));
    },

    async putIssued(host, { certificate, sealedKey, at, expiresAt }) {
      const issued = {
        ...{ certificate, sealed_key: sealedKey, issued_at: at, expires_at: expiresAt },
        ...{ tried_at: at, failures: 0, problem: null },
      };
      await database.run(async (db) => {
        await db
          .updateTable("url_certificate_tries")
          .set({ issued: true })
          .where("host", "=", host)
          .where("tried_at", "=", at)
          .execute();
        await db
          .insertInto("url_certificates")
          .values({ host, ...issued })
          .onConflict((on) => on.column("host").doUpdateSet(issued))
          .execute();
      });
    },

    async putFailure(host, { at, problem }) {
      const text = storableText(problem);
      await database.run((db) =>
        db
          .insertInto("url_certificates")
          .values({ host, tried_at: at, failures: 1, problem: text })
          .onConflict((on) =>
            on.column("host").doUpdateSet({
              tried_at: at,
              // The answer to an earlier try to store it was lost.
              failures: sql<number>`url_certificates.failures + (url_certificates.tried_at <> ${at})::integer`,
              problem: text,
            }),
          )
          .execute(),
      );
    },

    async remove(hosts) {
      if (hosts.length === 0) return;
      await database.run((db) => db.deleteFrom("url_certificates").where("host", "in", hosts).execute());
    },

    async removeUnused({ triedBefore }) {
      const isUnused = sql<boolean>`not exists (select from url_aliases where subdomain || '.' || domain = host)`;
      await database.run(async (db) => {
        await db.deleteFrom("url_certificates").where(isUnused).execute();
        await db.deleteFrom("url_challenges").where(isUnused).execute();
        await db.deleteFrom("url_certificate_tries").where("tried_at", "<", triedBefore).execute();
      });
    },

    async putChallenge({ host, token, answer }) {
      await database.run((db) =>
        db
          .insertInto("url_challenges")
          .values({ host, token, answer })
          .onConflict((on) => on.columns(["host", "token"]).doUpdateSet({ answer }))
          .execute(),
      );
    },

    async challenge({ host, token }) {
      const row = await database.run((db) =>
        db
          .selectFrom("url_challenges")
          .select("answer")
          .where("host", "=", host)
          .where("token", "=", token)
          .executeTakeFirst(),
      );
      return row?.answer ?? null;
    },

    async removeChallenges({ but }) {
      await database.run((db) => {
        const all = db.deleteFrom("url_challenges");
        return (but.length === 0 ? all : all.where("host", "not in", but)).execute();
      });
    },
  };
}

function fromRow(row: Selectable<Tables["url_certificates"]>): StoredCertificate {
  const { certificate, sealed_key: sealedKey, issued_at: at, expires_at: expiresAt } = row;
  return {
    host: row.host,
    issued: certificate !== null && sealedKey && at && expiresAt ? { certificate, sealedKey, at, expiresAt } : null,
    triedAt: row.tried_at,
    failures: row.failures,
    problem: row.problem,
  };
}
