import { sql } from "kysely";
import type { UsageStore, UsageSummary } from "../app/usage.ts";
import type { Database } from "./database.ts";

export function createUsageStore(database: Database): UsageStore {
  return {
    async summary(accountId, { from, to }) {
      const statement = sql<UsageSummary>`select
          count(*) filter (where created_at >= ${from}) as "totalJobs",
          count(*) filter (where created_at >= ${from} and status = 'completed') as "completedJobs",
          count(*) filter (where status = 'running') as "runningJobs",
          count(*) filter (where created_at >= ${from} and status = 'error') as "failedJobs",
          coalesce(sum(extract(epoch from greatest(
            coalesce(completed_at, ${to}) - greatest(started_at, ${from}), interval '0'
          ))) filter (where started_at is not null), 0)::float8 as "vmSeconds"
        from jobs
        where account_id = ${accountId} and (created_at >= ${from} or completed_at is null or completed_at >= ${from})`;
      const { rows } = await database.run((db) => statement.execute(db));
      const [summary] = rows;
      if (!summary) throw new Error("an aggregate without groups gives one row");
      return summary;
    },
  };
}
