import type { AccountId, SshKeyId } from "@mags/domain";
import { type Selectable, sql, type Transaction } from "kysely";
import type { SshKey, SshKeyStore } from "../app/ssh-key-store.ts";
import type { Database } from "./database.ts";
import type { Tables } from "./tables.ts";

export function createSshKeyStore(database: Database): SshKeyStore {
  return {
    async byFingerprint(fingerprint) {
      const rows = await database.run((db) =>
        db
          .selectFrom("account_ssh_keys as keys")
          .innerJoin("accounts", "accounts.id", "keys.account_id")
          .select(["keys.id", "keys.account_id", "keys.name", "keys.blob"])
          .select(["accounts.name as account_name", "accounts.email as account_email"])
          .where("keys.fingerprint", "=", fingerprint)
          .orderBy("keys.created_at")
          .orderBy("keys.id")
          .execute(),
      );
      return rows.map((row) => ({
        keyId: row.id as SshKeyId,
        accountId: row.account_id as AccountId,
        name: row.name,
        publicKey: row.blob,
        accountName: row.account_name,
        accountEmail: row.account_email,
      }));
    },

    async list(accountId) {
      const rows = await database.run((db) =>
        db
          .selectFrom("account_ssh_keys")
          .selectAll()
          .where("account_id", "=", accountId)
          .orderBy("created_at")
          .orderBy("id")
          .execute(),
      );
      return rows.map(fromRow);
    },

    add({ accountId, ...key }, { challenge, most }) {
      return database.run((db) =>
        db.transaction().execute(async (tx) => {
          const others = await lockKeys(tx, accountId);
          // The answer to an earlier try was lost.
          if (others.some(({ id }) => id === key.id)) return "added";
          if (others.some(({ fingerprint }) => fingerprint === key.fingerprint)) return "exists";
          if (others.some(({ name }) => name === key.name)) return "name_taken";
          if (others.length >= most) return "too_many";
          const used = await tx
            .deleteFrom("ssh_key_challenges")
            .where("challenge", "=", challenge)
            .where("account_id", "=", accountId)
            .where("fingerprint", "=", key.fingerprint)
            .executeTakeFirstOrThrow();
          if (used.numDeletedRows !== 1n) return "challenge_used";
          const { id, name, type, blob, fingerprint, createdAt } = key;
          await tx
            .insertInto("account_ssh_keys")
            .values({ id, account_id: accountId, name, type, blob, fingerprint, created_at: createdAt })
            .execute();
          return "added";
        }),
      );
    },

    async remove(accountId, keyId) {
      const result = await database.run((db) =>
        db
          .deleteFrom("account_ssh_keys")
          .where("id", "=", keyId)
          .where("account_id", "=", accountId)
          .executeTakeFirstOrThrow(),
      );
      return result.numDeletedRows === 1n;
    },

    async touch(keyId, at, { unlessAfter }) {
      await database.run((db) =>
        db
          .updateTable("account_ssh_keys")
          .set({ last_used_at: at })
          .where("id", "=", keyId)
          .where((is) => is.or([is("last_used_at", "is", null), is("last_used_at", "<=", unlessAfter)]))
          .execute(),
      );
    },

    async addChallenge({ challenge, accountId, fingerprint, expiresAt }, { now, most }) {
      await database.run((db) =>
        db.transaction().execute(async (tx) => {
          await lockKeys(tx, accountId);
          await tx.deleteFrom("ssh_key_challenges").where("expires_at", "<=", now).execute();
          await sql`delete from ssh_key_challenges where challenge in (
            select challenge from ssh_key_challenges where account_id = ${accountId}
            order by expires_at desc offset ${most - 1})`.execute(tx);
          await tx
            .insertInto("ssh_key_challenges")
            .values({ challenge, account_id: accountId, fingerprint, expires_at: expiresAt })
            .onConflict((on) => on.doNothing())
            .execute();
        }),
      );
    },

    async challenge(accountId, challenge) {
      const row = await database.run((db) =>
        db
          .selectFrom("ssh_key_challenges")
          .selectAll()
          .where("challenge", "=", challenge)
          .where("account_id", "=", accountId)
          .executeTakeFirst(),
      );
      return row ? { challenge, accountId, fingerprint: row.fingerprint, expiresAt: row.expires_at } : null;
    },
  };
}

/** The account's keys, which nobody else adds to until the transaction ends. Jobs and tokens of it are added meanwhile. */
async function lockKeys(tx: Transaction<Tables>, accountId: AccountId) {
  await tx.selectFrom("accounts").select("id").where("id", "=", accountId).forNoKeyUpdate().execute();
  return tx
    .selectFrom("account_ssh_keys")
    .select(["id", "name", "fingerprint"])
    .where("account_id", "=", accountId)
    .execute();
}

function fromRow(row: Selectable<Tables["account_ssh_keys"]>): SshKey {
  return {
    id: row.id as SshKeyId,
    name: row.name,
    type: row.type,
    blob: row.blob,
    fingerprint: row.fingerprint,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  };
}
