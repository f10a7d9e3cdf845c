import type { AccountId } from "@mags/domain";
import { type Selectable, sql } from "kysely";
import type { UploadRecord, UploadRecords } from "../app/upload-records.ts";
import type { Database } from "./database.ts";
import type { Tables } from "./tables.ts";

export function createUploadRecords(database: Database): UploadRecords {
  return {
    async insert(records) {
      if (records.length === 0) return;
      const rows = records.map(({ id, accountId, name, sizeBytes, createdAt }) => ({
        id,
        account_id: accountId,
        name,
        size_bytes: sizeBytes,
        created_at: createdAt,
      }));
      await database.run((db) =>
        db
          .insertInto("uploads")
          .values(rows)
          .onConflict((on) => on.doNothing())
          .execute(),
      );
    },
    async find(id) {
      const row = await database.run((db) =>
        db.selectFrom("uploads").selectAll().where("id", "=", id).executeTakeFirst(),
      );
      return row ? fromRow(row) : null;
    },
    async owned(accountId, ids) {
      const rows = await database.run((db) =>
        db
          .selectFrom("uploads")
          .select("id")
          .where("account_id", "=", accountId)
          .where(sql<boolean>`id = any(${ids}::uuid[])`)
          .execute(),
      );
      return new Set(rows.map(({ id }) => id));
    },
    async bytesOf(accountId) {
      const row = await database.run((db) =>
        db
          .selectFrom("uploads")
          .select(sql<string | null>`sum(size_bytes)`.as("bytes"))
          .where("account_id", "=", accountId)
          .executeTakeFirst(),
      );
      return Number(row?.bytes ?? 0);
    },
    async known(ids) {
      const rows = await database.run((db) =>
        db.selectFrom("uploads").select("id").where(sql<boolean>`id = any(${ids}::uuid[])`).execute(),
      );
      return new Set(rows.map(({ id }) => id));
    },
    async removeExpired(before) {
      const using = sql`select from jobs where file_ids <> '{}' and file_ids @> array[uploads.id]`;
      const statement = sql<{ id: string }>`delete from uploads
        where (created_at < ${before} or exists (${using} and status in ('completed', 'error')))
          and not exists (${using} and status = 'pending')
        returning id`;
      const { rows } = await database.run((db) => statement.execute(db));
      return rows.map(({ id }) => id);
    },
  };
}

function fromRow(row: Selectable<Tables["uploads"]>): UploadRecord {
  return {
    id: row.id,
    accountId: row.account_id as AccountId,
    name: row.name,
    sizeBytes: row.size_bytes,
    createdAt: row.created_at,
  };
}
