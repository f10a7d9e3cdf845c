import { isUuid, type JobId, type JobStatus } from "@mags/domain";
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { NewJob, NewJobEvent } from "../app/job.ts";
import type { JobFilter, JobStore } from "../app/job-store.ts";
import type { Database } from "./database.ts";
import {
  eventFromRow,
  JOB_COLUMNS,
  jobFromRow,
  LIVE_COLUMNS,
  liveJobFromRow,
  START_COLUMNS,
  startFromRow,
} from "./job-rows.ts";
import { storableJson, storableText } from "./storable.ts";
import type { Tables } from "./tables.ts";

const LIVE: readonly JobStatus[] = ["pending", "running", "sleeping"];

export function createJobStore(database: Database): JobStore {
  return {
    async insert(job, events) {
      await database.run((db) => insertStatement(job, events).execute(db));
    },

    async get(jobId) {
      const row = await database.run((db) =>
        db.selectFrom("jobs").select(JOB_COLUMNS).where("id", "=", jobId).executeTakeFirst(),
      );
      return row ? jobFromRow(row) : null;
    },

    async find(accountId, idOrName) {
      const row = await database.run((db) => {
        const own = db.selectFrom("jobs").select(JOB_COLUMNS).where("account_id", "=", accountId);
        if (isUuid(idOrName)) return own.where("id", "=", idOrName).executeTakeFirst();
        return own
          .where("name", "=", idOrName)
          .orderBy((on) => on("completed_at", "is", null), "desc")
          .orderBy("seq", "desc")
          .limit(1)
          .executeTakeFirst();
      });
      return row ? jobFromRow(row) : null;
    },

    async list(accountId, filter, page) {
      return database.run(async (db) => {
        const matching = filtered(db, accountId, filter);
        const [rows, count] = await Promise.all([
          matching.select(JOB_COLUMNS).orderBy("seq", "desc").limit(page.limit).offset(page.offset).execute(),
          matching.select((on) => on.fn.countAll<number>().as("total")).executeTakeFirstOrThrow(),
        ]);
        return { jobs: rows.map(jobFromRow), total: count.total };
      });
    },

    async loadStart(jobId) {
      const row = await database.run((db) =>
        db
          .selectFrom("jobs")
          .select(START_COLUMNS)
          .where("id", "=", jobId)
          .where("status", "=", "pending")
          .executeTakeFirst(),
      );
      return row ? startFromRow(row) : null;
    },

    markStarted: (jobId, start, event) =>
      changed(
        database,
        sql`update jobs set status = 'running', micro_vm_id = ${start.microVmId}, started_at = ${start.startedAt}
          where id = ${jobId} and status = 'pending' returning id`,
        event,
      ),

    markEnded: (jobId, outcome, event) =>
      changed(
        database,
        sql`update jobs set status = ${outcome.status}, exit_code = ${outcome.exitCode},
          error_message = ${outcome.errorMessage === null ? null : storableText(outcome.errorMessage)}, script_duration_ms = ${outcome.scriptDurationMs},
          completed_at = ${outcome.completedAt}
          where id = ${jobId} and status = any(${LIVE}) returning id`,
        event,
      ),

    requestStop: (jobId, event) =>
      changed(
        database,
        sql`update jobs set stop_requested_at = ${event.at}
          where id = ${jobId} and status = any(${LIVE}) and stop_requested_at is null returning id`,
        event,
      ),

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
      const rows = await database.run((db) =>
        db
          .selectFrom("jobs")
          .select(LIVE_COLUMNS)
          // Spelled out, so that the partial index on live jobs serves it.
          .where(sql<boolean>`status in ('pending', 'running', 'sleeping')`)
          .orderBy("seq")
          .execute(),
      );
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

/** The job and its first events in one statement: one round trip and one commit stand before the answer. */
function insertStatement(job: NewJob, events: readonly NewJobEvent[]): RawBuilder<unknown> {
  const script = job.command.kind === "url" ? job.command.url : job.command.script;
  return sql`with job as (
      insert into jobs (id, account_id, name, status, command_kind, script, environment, image, vcpus, memory_mib,
        disk_gib, egress, timeout_ms, labels, no_sync, file_ids, created_at)
      values (${job.id}, ${job.accountId}, ${job.name}, 'pending', ${job.command.kind}, ${script},
        ${JSON.stringify(job.environment)}, ${job.size.image}, ${job.size.vcpus}, ${job.size.memoryMiB},
        ${job.size.diskGiB}, ${JSON.stringify(job.size.egress)}, ${job.timeoutMs}, ${JSON.stringify(job.labels)}, ${job.noSync},
        ${job.fileIds}::uuid[], ${job.createdAt})
      on conflict (id) do nothing
      returning id
    )
    insert into job_events (job_id, at, name, data)
    select job.id, event.at, event.name, event.data
    from job, jsonb_to_recordset(${JSON.stringify(events)}::jsonb) as event(at timestamptz, name text, data jsonb)`;
}

/** Runs an update that returns the id of the job it changed, and adds the event if it changed one. */
async function changed(database: Database, update: RawBuilder<unknown>, event: NewJobEvent): Promise<boolean> {
  const statement = sql<{ id: number }>`with changed as (${update})
    insert into job_events (job_id, at, name, data)
    select id, ${event.at}, ${event.name}, ${storableJson(event.data)} from changed
    returning id`;
  const { rows } = await database.run((db) => statement.execute(db));
  return rows.length > 0;
}

function filtered(db: Kysely<Tables>, accountId: string, filter: JobFilter) {
  let query = db.selectFrom("jobs").where("account_id", "=", accountId);
  if (filter.status) query = query.where("status", "=", filter.status);
  if (filter.name !== undefined) query = query.where("name", "=", filter.name);
  if (filter.label) {
    const label = JSON.stringify({ [filter.label.key]: filter.label.value });
    query = query.where(sql<boolean>`labels @> ${label}::jsonb`);
  }
  return query;
}
