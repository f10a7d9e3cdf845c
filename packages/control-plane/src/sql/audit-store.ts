import type { AccountId } from "@mags/domain";
import { sql } from "kysely";
import type { AuditQuery, AuditRecord, AuditStore } from "../app/audit-store.ts";
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

    async list(query) {
      const { of, after, limit } = query;
      // A question for each owner, as each is answered from an index in its order.
      const owners = of === "all" ? ([ANYBODY] as const) : of;
      const found = (await Promise.all(owners.map((owner) => entriesOf(database, owner, query)))).flat();
      found.sort((one, other) => one.id - other.id);
      return after === null ? found.slice(-limit) : found.slice(0, limit);
    },

    async removeBefore(before, { most }) {
      const statement = sql`delete from audit_log where id in (
        select id from audit_log where at < ${before} limit ${most})`;
      const { numAffectedRows } = await database.run((db) => statement.execute(db));
      return Number(numAffectedRows ?? 0n);
    },
  };
}

const ANYBODY = "anybody";

async function entriesOf(
  database: Database,
  owner: AccountId | null | typeof ANYBODY,
  { action, after, limit }: AuditQuery,
): Promise<readonly AuditRecord[]> {
  const rows = await database.run((db) => {
    let query = db
      .selectFrom("audit_log as log")
      .leftJoin("accounts", "accounts.id", "log.account_id")
      .select(["log.id", "log.at", "log.account_id", "log.action", "log.target", "log.client_address", "log.data"])
      .select("accounts.email")
      .limit(limit)
      .orderBy("log.id", after === null ? "desc" : "asc");
    if (after !== null) query = query.where("log.id", ">", after);
    if (action !== null) query = query.where("log.action", "=", action);
    if (owner === null) query = query.where("log.account_id", "is", null);
    else if (owner !== ANYBODY) query = query.where("log.account_id", "=", owner);
    return query.execute();
  });
  return rows.map((row) => ({
    id: row.id,
    at: row.at,
    action: row.action,
    accountId: row.account_id as AccountId | null,
    accountEmail: row.email,
    target: row.target,
    clientAddress: row.client_address,
    data: row.data,
  }));
}
