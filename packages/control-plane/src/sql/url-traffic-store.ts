import { type RawBuilder, sql } from "kysely";
import type { TrafficSum, UrlTrafficStore } from "../app/url-traffic-store.ts";
import type { Database } from "./database.ts";
import { storableJson } from "./storable.ts";

export function createUrlTrafficStore(database: Database): UrlTrafficStore {
  const removed = async (statement: RawBuilder<unknown>) =>
    Number((await database.run((db) => statement.execute(db))).numAffectedRows ?? 0n);

  return {
    async add({ id, at, counts, entries }) {
      const rows = {
        counts: counts.map(({ guest, statusClass, bytesIn, bytesOut, durationMs, ...count }) => ({
          ...count,
          ...{ sandbox_id: guest, status_class: statusClass, bytes_in: bytesIn, bytes_out: bytesOut },
          duration_ms: durationMs,
        })),
        entries: entries.map(({ guest, atMs, clientAddress, durationMs, bytesIn, bytesOut, ...entry }, ordinal) => ({
          ...entry,
          ...{ ordinal, sandbox_id: guest, at: new Date(atMs), client_address: clientAddress },
          ...{ duration_ms: durationMs, bytes_in: bytesIn, bytes_out: bytesOut },
        })),
      };
      // One parameter, however many rows: each text of a statement is kept by each connection.
      const statement = sql`with given as (select ${storableJson(rows)}::jsonb as it),
        fresh as (insert into url_batches (id, at) values (${id}, ${at}) on conflict (id) do nothing returning id),
        kept as (
          insert into url_accesses
            (sandbox_id, at, host, client_address, method, path, status, duration_ms, bytes_in, bytes_out)
          select row.sandbox_id, row.at, host, client_address, method, path, status, duration_ms, bytes_in, bytes_out
          from fresh, given, jsonb_to_recordset(it -> 'entries') as row (ordinal integer, sandbox_id uuid,
            at timestamptz, host text, client_address text, method text, path text, status smallint,
            duration_ms double precision, bytes_in bigint, bytes_out bigint)
          where exists (select from sandboxes where sandboxes.id = row.sandbox_id)
          order by ordinal
        )
        insert into url_traffic
          (sandbox_id, account_id, day, status_class, bucket, requests, bytes_in, bytes_out, duration_ms)
        select sandboxes.id, sandboxes.account_id, day, status_class, bucket, requests, bytes_in, bytes_out, duration_ms
        from fresh, given, jsonb_to_recordset(it -> 'counts') as row (sandbox_id uuid, day date, status_class smallint,
          bucket smallint, requests bigint, bytes_in bigint, bytes_out bigint, duration_ms double precision)
        join sandboxes on sandboxes.id = row.sandbox_id
        order by sandboxes.id, day, status_class, bucket
        on conflict (sandbox_id, day, status_class, bucket) do update set
          requests = url_traffic.requests + excluded.requests,
          bytes_in = url_traffic.bytes_in + excluded.bytes_in,
          bytes_out = url_traffic.bytes_out + excluded.bytes_out,
          duration_ms = url_traffic.duration_ms + excluded.duration_ms`;
      await database.run((db) => statement.execute(db));
    },

    async entries(sandboxId, { after, limit }) {
      const rows = await database.run((db) => {
        const of = db
          .selectFrom("url_accesses")
          .selectAll()
          .where("sandbox_id", "=", sandboxId)
          .limit(limit)
          .orderBy("id", after === null ? "desc" : "asc");
        return (after === null ? of : of.where("id", ">", after)).execute();
      });
      const entries = rows.map((row) => ({
        ...{ id: Number(row.id), at: row.at, host: row.host, clientAddress: row.client_address },
        ...{ method: row.method, path: row.path, status: row.status, durationMs: row.duration_ms },
        ...{ bytesIn: Number(row.bytes_in), bytesOut: Number(row.bytes_out) },
      }));
      return after === null ? entries.reverse() : entries;
    },

    async sums(sandboxId) {
      const statement = sql<TrafficSum>`select status_class as "statusClass", bucket, sum(requests)::float8 as requests,
          sum(bytes_in)::float8 as "bytesIn", sum(bytes_out)::float8 as "bytesOut", sum(duration_ms) as "durationMs"
        from url_traffic where sandbox_id = ${sandboxId} group by status_class, bucket order by status_class, bucket`;
      return (await database.run((db) => statement.execute(db))).rows;
    },

    async removeEntries({ before, newest, most }) {
      const old = sql`delete from url_accesses where id in (
        select id from url_accesses where at < ${before} limit ${most})`;
      const excess = sql`delete from url_accesses where id in (
        select entry.id from (
          select sandbox_id, (select id from url_accesses as one where one.sandbox_id = many.sandbox_id
            order by id desc offset ${newest} limit 1) as last
          from url_accesses as many group by sandbox_id having count(*) > ${newest}
        ) as excess join url_accesses as entry on entry.sandbox_id = excess.sandbox_id and entry.id <= excess.last
        limit ${most})`;
      return (await removed(old)) || (await removed(excess));
    },

    removeCounts({ before, most }) {
      // By account, as they are indexed.
      return removed(sql`delete from url_traffic where ctid in (
        select url_traffic.ctid from accounts join url_traffic on account_id = accounts.id
        where day < (${before}::timestamptz at time zone 'UTC')::date limit ${most})`);
    },

    async forgetBatches(before) {
      await database.run((db) => db.deleteFrom("url_batches").where("at", "<", before).execute());
    },
  };
}
