import { sql } from "kysely";
import type { UsageStore, UsageSummary } from "../app/usage.ts";
import type { Database } from "./database.ts";

export function createUsageStore(database: Database): UsageStore {
  return {
    async summary(accountId, { from, to }) {
      // Sandboxes outlive their jobs and are not awake all the time: their periods are counted, not their jobs.
      const statement = sql<UsageSummary>`with counted as (
          select
            count(*) filter (where created_at >= ${from}) as "totalJobs",
            count(*) filter (where created_at >= ${from} and status = 'completed') as "completedJobs",
            count(*) filter (where status = 'running') as "runningJobs",
            count(*) filter (where created_at >= ${from} and status = 'error') as "failedJobs"
          from jobs
          where account_id = ${accountId} and (created_at >= ${from} or completed_at is null or completed_at >= ${from})
        ),
        awake as (
          select started_at as began_at, completed_at as ended_at from jobs
          where account_id = ${accountId} and sandbox_id is null and started_at is not null
            and (created_at >= ${from} or completed_at is null or completed_at >= ${from})
          union all
          select began_at, ended_at from awake_periods
          where account_id = ${accountId} and (ended_at is null or ended_at >= ${from})
        ),
        asked as (
          select coalesce(sum(requests), 0)::float8 as "urlRequests", coalesce(sum(bytes_in), 0)::float8 as "urlBytesIn",
            coalesce(sum(bytes_out), 0)::float8 as "urlBytesOut"
          from url_traffic where account_id = ${accountId} and day >= (${from}::timestamptz at time zone 'UTC')::date
        )
        select counted.*, asked.*, (
          select coalesce(sum(extract(epoch from greatest(
            coalesce(ended_at, ${to}) - greatest(began_at, ${from}), interval '0'
          ))), 0)::float8 from awake
        ) as "vmSeconds", (
          select coalesce(sum(stored_bytes), 0)::float8 from workspaces
          where account_id = ${accountId} and deleted_at is null
        ) as "storageBytes"
        from counted, asked`;
      const { rows } = await database.run((db) => statement.execute(db));
      const [summary] = rows;
      if (!summary) throw new Error("an aggregate without groups gives one row");
      return summary;
    },
  };
}
