import { isUuid, type JobId } from "@mags/domain";
import { type Kysely, sql } from "kysely";
import type { Changed, JobFilter, JobStore } from "../app/job-store.ts";
import type { Database } from "./database.ts";
import {
  eventFromRow,
  jobFromRow,
  liveJobFromRow,
  selectJobs,
  selectLive,
  selectStarts,
  startFromRow,
} from "./job-rows.ts";
import { type ChangedJob, changeJob, insertJob, LIVE } from "./job-statements.ts";
import { storableJson, storableText } from "./storable.ts";
import type { Tables } from "./tables.ts";

export function createJobStore(database: Database): JobStore {
  return {
    async insert(job, events) {
      await database.run((db) => insertJob(job, events).execute(db));
    },

    async get(jobId) {
      const row = await database.run((db) => selectJobs(db).where("jobs.id", "=", jobId).executeTakeFirst());
      return row ? jobFromRow(row) : null;
    },

    async find(accountId, key) {
      const row = await database.run((db) => {
        const own = selectJobs(db).where("jobs.account_id", "=", accountId);
        if (isUuid(key)) return own.where("jobs.id", "=", key).executeTakeFirst();
        return own
          .where((on) => on.or([on("jobs.name", "=", key), on("jobs.workspace_id", "=", key)]))
          .orderBy((on) => on("jobs.completed_at", "is", null), "desc")
          .orderBy((on) => on("jobs.name", "=", key), "desc")
          .orderBy("jobs.seq", "desc")
          .limit(1)
          .executeTakeFirst();
      });
      return row ? jobFromRow(row) : null;
    },

    async list(accountId, filter, page) {
      return database.run(async (db) => {
        const ids = filtered(db, accountId, filter);
        const shown = ids.select("jobs.id").orderBy("seq", "desc").limit(page.limit).offset(page.offset);
        const [rows, count] = await Promise.all([
          selectJobs(db).where("jobs.id", "in", shown).orderBy("jobs.seq", "desc").execute(),
          ids.select((on) => on.fn.countAll<number>().as("total")).executeTakeFirstOrThrow(),
        ]);
        return { jobs: rows.map(jobFromRow), total: count.total };
      });
    },

    async loadStart(jobId) {
      const row = await database.run((db) =>
        selectStarts(db).where("jobs.id", "=", jobId).where("jobs.status", "=", "pending").executeTakeFirst(),
      );
      return row ? startFromRow(row) : null;
    },

    markStarted: async (jobId, start, event) =>
      changed(
        await changeJob(
          database,
          sql`update jobs set status = 'running', micro_vm_id = ${start.microVmId}, started_at = ${start.startedAt}
            where id = ${jobId} and status = 'pending' returning id, sandbox_id`,
          event,
        ),
      ),

    markEnded: async (jobId, outcome, event, { owners } = { owners: "all" }) =>
      changed(
        await changeJob(
          database,
          sql`update jobs set status = ${outcome.status}, exit_code = coalesce(${outcome.exitCode}, exit_code),
            error_message = ${outcome.errorMessage === null ? null : storableText(outcome.errorMessage)},
            script_duration_ms = coalesce(${outcome.scriptDurationMs}, script_duration_ms),
            completed_at = ${outcome.completedAt}
            where id = ${jobId} and ${LIVE} and (${owners === "all"} or not owns_sandbox
              or stop_requested_at is not null or (${owners === "unstarted"} and status = 'pending'))
            returning id, sandbox_id`,
          event,
        ),
      ),

    markScriptEnded: async (jobId, end, event) =>
      changed(
        await changeJob(
          database,
          sql`update jobs set exit_code = ${end.exitCode}, script_duration_ms = ${end.scriptDurationMs},
            script_ended_at = ${end.endedAt}
            where id = ${jobId} and ${LIVE} and owns_sandbox and script_ended_at is null returning id, sandbox_id`,
          event,
        ),
      ),

    requestStop: async (jobId, event) =>
      changed(
        await changeJob(
          database,
          // The sandbox first, as everybody locks them.
          sql`update jobs set stop_requested_at = ${event.at}
            from (select count(*) from sandbox) as released
            where id = ${jobId} and ${LIVE} and stop_requested_at is null returning id, sandbox_id`,
          event,
          sql`sandbox as (
            update sandboxes set release_requested_at = ${event.at}
            where owner_job_id = ${jobId} and ended_at is null and release_requested_at is null returning id
          ),`,
        ),
      ),

    async update(jobId, { labels, noSleep, idleMinutes, startupCommand }) {
      await database.run((db) =>
        db
          .updateTable("jobs")
          .where("id", "=", jobId)
          .set({
            ...(labels !== null && { labels: JSON.stringify(labels) }),
            ...(noSleep !== null && { no_sleep: noSleep }),
            ...(idleMinutes !== null && { idle_minutes: idleMinutes }),
            ...(startupCommand !== null && { startup_command: startupCommand === "" ? null : startupCommand }),
          })
          .execute(),
      );
    },

    async addEvent(jobId, event, reportId) {
      await database.run((db) =>
        db
          .insertInto("job_events")
          .values({
            job_id: jobId,
            at: event.at,
            name: event.name,
            data: storableJson(event.data),
            report_id: reportId,
          })
          .onConflict((on) => on.doNothing())
          .execute(),
      );
    },

    async events(jobId, afterId) {
      const rows = await database.run((db) =>
        db
          .selectFrom("job_events")
          .select(["id", "at", "name", "data"])
          .where("job_id", "=", jobId)
          .where("id", ">", afterId)
          .orderBy("id")
          .execute(),
      );
      return rows.map(eventFromRow);
    },

    async live() {
      const rows = await database.run((db) => selectLive(db).where(LIVE).orderBy("jobs.seq").execute());
      return rows.map(liveJobFromRow);
    },

    async statuses(jobIds) {
      const rows = await database.run((db) =>
        db.selectFrom("jobs").select(["id", "status"]).where(sql<boolean>`id = any(${jobIds}::uuid[])`).execute(),
      );
      return new Map(rows.map((row) => [row.id as JobId, row.status]));
    },
  };
}

const changed = (row: ChangedJob | null): Changed => row && { sandboxId: row.sandbox_id };

function filtered(db: Kysely<Tables>, accountId: string, filter: JobFilter) {
  let query = db.selectFrom("jobs").where("account_id", "=", accountId);
  if (filter.status) query = query.where("status", "=", filter.status);
  if (filter.name !== undefined) query = query.where("name", "=", filter.name);
  if (filter.workspaceId !== undefined) query = query.where("workspace_id", "=", filter.workspaceId);
  if (filter.label) {
    const label = JSON.stringify({ [filter.label.key]: filter.label.value });
    query = query.where(sql<boolean>`labels @> ${label}::jsonb`);
  }
  return query;
}
