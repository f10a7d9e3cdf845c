/** Statements on jobs that several stores use. Each changes jobs and adds the events that tell of it, or neither. */
import type { JobId, SandboxId } from "@mags/domain";
import { type RawBuilder, sql } from "kysely";
import type { NewJob, NewJobEvent } from "../app/job.ts";
import type { Database } from "./database.ts";
import { storableJson } from "./storable.ts";

/** In SQL, where the partial index on live jobs shall serve. */
export const LIVE = sql<boolean>`jobs.status in ('pending', 'running', 'sleeping')`;

/** The job and its first events in one statement: one round trip and one commit stand before the answer. */
export function insertJob(job: NewJob, events: readonly NewJobEvent[]): RawBuilder<unknown> {
  const script = job.command.kind === "url" ? job.command.url : job.command.script;
  return sql`with job as (
      insert into jobs (id, account_id, name, status, command_kind, script, environment, image, vcpus, memory_mib,
        disk_gib, egress, timeout_ms, labels, no_sync, workspace_id, persistent, no_sleep, startup_command,
        idle_minutes, endless, sandbox_id, makes_sandbox, owns_sandbox, file_ids, created_at)
      values (${job.id}, ${job.accountId}, ${job.name}, 'pending', ${job.command.kind}, ${script},
        ${JSON.stringify(job.environment)}, ${job.size.image}, ${job.size.vcpus}, ${job.size.memoryMiB},
        ${job.size.diskGiB}, ${JSON.stringify(job.size.egress)}, ${job.timeoutMs}, ${JSON.stringify(job.labels)}, ${job.noSync},
        ${job.workspaceId}, ${job.persistent}, ${job.noSleep}, ${job.startupCommand}, ${job.idleMinutes}, ${job.endless},
        ${job.sandbox?.id ?? null}, ${job.sandbox?.makes ?? false}, ${job.sandbox?.owns ?? false},
        ${job.fileIds}::uuid[], ${job.createdAt})
      on conflict (id) do nothing
      returning id
    )
    insert into job_events (job_id, at, name, data)
    select job.id, event.at, event.name, event.data
    from job, jsonb_to_recordset(${JSON.stringify(events)}::jsonb) as event(at timestamptz, name text, data jsonb)`;
}

export interface ChangedJob {
  readonly job_id: JobId;
  readonly sandbox_id: SandboxId | null;
}

/**
 * Runs an update that returns id and sandbox_id of the job it changed, and adds the event if it changed one.
 * @param before  Common table expressions that the update uses.
 */
export async function changeJob(
  database: Database,
  update: RawBuilder<unknown>,
  event: NewJobEvent,
  before: RawBuilder<unknown> = sql``,
): Promise<ChangedJob | null> {
  const statement = sql<ChangedJob>`with ${before} changed as (${update}), told as (
      insert into job_events (job_id, at, name, data)
      select id, ${event.at}, ${event.name}, ${storableJson(event.data)} from changed
    )
    select id as job_id, sandbox_id from changed`;
  const { rows } = await database.run((db) => statement.execute(db));
  return rows[0] ?? null;
}
