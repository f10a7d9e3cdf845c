import { sql } from "kysely";
import type { AuditStore } from "../app/audit-store.ts";
import type { Database } from "./database.ts";
import { storableJson } from "./storable.ts";

export function createAuditStore(database: Database): AuditStore {
  return {
    async add(records) {
      const rows = records.map((record, ordinal) => ({
        ordinal,
        note_id: record.noteId,
        at: record.at,
        account_id: record.accountId,
        action: record.action,
        target: record.target,
        client_address: record.clientAddress,
        data: record.data,
      }));
      // One parameter, however many rows: each text of a statement is kept by each connection.
      const statement = sql`insert into audit_log (note_id, at, account_id, action, target, client_address, data)
        select note_id, at, account_id, action, target, client_address, data
        from jsonb_to_recordset(${storableJson({ rows })}::jsonb -> 'rows') as row (ordinal integer, note_id uuid,
          at timestamptz, account_id uuid, action text, target text, client_address text, data jsonb)
        order by ordinal
        on conflict (note_id) do nothing`;
      await database.run((db) => statement.execute(db));
    },

    async removeBefore(before, { most }) {
      const statement = sql`delete from audit_log where id in (
        select id from audit_log where at < ${before} limit ${most})`;
      const { numAffectedRows } = await database.run((db) => statement.execute(db));
      return Number(numAffectedRows ?? 0n);
    },
  };
}
