import type { AccountId, TokenId } from "@mags/domain";
import { sql } from "kysely";
import type { AccountStore } from "../app/account-store.ts";
import type { Database } from "./database.ts";

const ACCOUNT_COLUMNS = ["accounts.id", "accounts.email", "accounts.name", "accounts.role"] as const;

export function createAccountStore(database: Database): AccountStore {
  return {
    async add(account) {
      const result = await database.run((db) =>
        db
          .insertInto("accounts")
          .values({
            id: account.id,
            email: account.email,
            name: account.name,
            role: account.role,
            bootstrap: account.bootstrap,
            created_at: account.createdAt,
          })
          .onConflict((on) => on.doNothing())
          .executeTakeFirstOrThrow(),
      );
      return result.numInsertedOrUpdatedRows === 1n;
    },

    async bootstrapAccount() {
      const row = await database.run((db) =>
        db.selectFrom("accounts").select(ACCOUNT_COLUMNS).where("bootstrap", "=", true).executeTakeFirst(),
      );
      return row ? { ...row, id: row.id as AccountId } : null;
    },

    async findByTokenHash(hash) {
      const row = await database.run((db) =>
        db
          .selectFrom("access_tokens")
          .innerJoin("accounts", "accounts.id", "access_tokens.account_id")
          .select([...ACCOUNT_COLUMNS, "access_tokens.id as token_id", "access_tokens.last_used_at"])
          .where("access_tokens.hash", "=", hash)
          .executeTakeFirst(),
      );
      if (!row) return null;
      const { token_id, last_used_at, ...account } = row;
      return {
        account: { ...account, id: account.id as AccountId },
        tokenId: token_id as TokenId,
        lastUsedAt: last_used_at,
      };
    },

    async addToken(token) {
      await database.run((db) =>
        db
          .insertInto("access_tokens")
          .values({
            id: token.id,
            account_id: token.accountId,
            name: token.name,
            prefix: token.prefix,
            hash: token.hash,
            created_at: token.createdAt,
          })
          .onConflict((on) => on.column("id").doNothing())
          .execute(),
      );
    },

    async tokens(accountId) {
      const rows = await database.run((db) =>
        db
          .selectFrom("access_tokens")
          .select(["id", "name", "prefix", "created_at", "last_used_at"])
          .where("account_id", "=", accountId)
          .orderBy("created_at")
          .orderBy("id")
          .execute(),
      );
      return rows.map((row) => ({
        id: row.id as TokenId,
        name: row.name,
        prefix: row.prefix,
        createdAt: row.created_at,
        lastUsedAt: row.last_used_at,
      }));
    },

    async deleteToken(accountId, tokenId) {
      const row = await database.run((db) =>
        db
          .deleteFrom("access_tokens")
          .where("id", "=", tokenId)
          .where("account_id", "=", accountId)
          .returning(["name", "prefix"])
          .executeTakeFirst(),
      );
      return row ?? null;
    },

    async touchToken(tokenId, at) {
      await database.run((db) =>
        db
          .updateTable("access_tokens")
          .set({ last_used_at: sql`greatest(last_used_at, ${at})` })
          .where("id", "=", tokenId)
          .execute(),
      );
    },
  };
}
