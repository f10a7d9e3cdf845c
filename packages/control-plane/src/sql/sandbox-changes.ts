/** How sandboxes change, and with them the jobs in them. Each change is one statement with the event that tells of it. */
import { type RawBuilder, sql } from "kysely";
import type { NewJobEvent } from "../app/job.ts";
import type { ChangedStatus, SandboxStore } from "../app/sandbox-store.ts";
import type { Database } from "./database.ts";
import { LIVE } from "./job-statements.ts";
import { changedFromRow, liveJobsIn } from "./sandbox-rows.ts";
import { storableJson, storableText } from "./storable.ts";

type Changes = Pick<
  SandboxStore,
  "markBegun" | "markState" | "tell" | "end" | "requestRelease" | "raiseDisk" | "markHydrated"
>;

export function createSandboxChanges(database: Database): Changes {
  async function run(statement: RawBuilder<{ job_id: string; status: string }>): Promise<readonly ChangedStatus[]> {
    const { rows } = await database.run((db) => statement.execute(db));
    return rows.map(changedFromRow);
  }

  return {
    async markBegun(sandboxId, microVmId, at) {
      await database.run((db) =>
        sql`with sandbox as (
            update sandboxes set state = 'running', micro_vm_id = ${microVmId}
            where id = ${sandboxId} and state = 'starting' returning id, account_id
          )
          insert into awake_periods (sandbox_id, account_id, began_at)
          select id, account_id, ${at} from sandbox on conflict do nothing`.execute(db),
      );
    },

    markState(sandboxId, { state, microVmId, at, transition }, event, reportId) {
      const told = transition && JSON.stringify(transition);
      return run(sql`with sandbox as (
          update sandboxes set state = ${state}, micro_vm_id = ${microVmId},
            last_transition = coalesce(${told === null ? null : storableText(told)}::jsonb, last_transition)
          where id = ${sandboxId} and ended_at is null returning id, account_id, owner_job_id
        ),
        changed as (
          update jobs set status = ${state}, micro_vm_id = coalesce(${microVmId}, micro_vm_id) from sandbox
          where jobs.sandbox_id = sandbox.id and jobs.status in ('running', 'sleeping')
          returning jobs.id as job_id, jobs.status
        ),
        ${state === "running" ? periodBegins(at) : periodEnds(at)},
        ${eventTold(event, reportId)}
        select job_id, status from changed`);
    },

    async tell(sandboxId, event, reportId) {
      await database.run((db) =>
        sql`with sandbox as (select id, owner_job_id from sandboxes where id = ${sandboxId}),
          ${eventTold(event, reportId)}
          select 1`.execute(db),
      );
    },

    end(sandboxId, { at, message, onlyStarting }, event) {
      return run(sql`with sandbox as (
          update sandboxes set state = 'gone', micro_vm_id = null, ended_at = ${at}
          where id = ${sandboxId} and ended_at is null and (state = 'starting' or not ${onlyStarting ?? false})
          returning id, account_id, owner_job_id
        ),
        changed as (
          update jobs set completed_at = ${at},
            status = case when stop_requested_at is null then 'error' else 'completed' end,
            error_message = case when stop_requested_at is null then ${storableText(message)} end
          from sandbox
          where jobs.sandbox_id = sandbox.id and ${LIVE} and (jobs.id = owner_job_id or jobs.status = 'pending')
            -- Why it could not be made, the end of that job tells itself.
            and not (makes_sandbox and jobs.status = 'pending' and stop_requested_at is null)
          returning jobs.id as job_id, jobs.status
        ),
        ${periodEnds(at)},
        ${accessEnds(at)},
        waiting as (
          insert into job_events (job_id, at, name, data)
          select job_id, ${at}, 'failed', jsonb_build_object('message', ${storableText(message)}::text)
          from changed, sandbox
          where status = 'error' and job_id is distinct from owner_job_id
        ),
        ${eventTold(event, null)}
        select job_id, status from changed`);
    },

    requestRelease: (sandboxId, at) =>
      database.run((db) =>
        db.transaction().execute(async (tx) => {
          // No job can come in between.
          await tx.selectFrom("sandboxes").select("id").where("id", "=", sandboxId).forUpdate().execute();
          if ((await liveJobsIn(tx, sandboxId)).length > 0) return false;
          await tx
            .updateTable("sandboxes")
            .set({ release_requested_at: at })
            .where("id", "=", sandboxId)
            .where("release_requested_at", "is", null)
            .execute();
          return true;
        }),
      ),

    async markHydrated(sandboxId, at) {
      await database.run((db) =>
        db
          .updateTable("sandboxes")
          .set({ hydrated_at: at })
          .where("id", "=", sandboxId)
          .where("hydrated_at", "is", null)
          .execute(),
      );
    },

    async raiseDisk(sandboxId, diskGiB) {
      await database.run((db) =>
        sql`with sandbox as (
            update sandboxes set disk_gib = ${diskGiB} where id = ${sandboxId} and disk_gib < ${diskGiB} returning id
          )
          update jobs set disk_gib = ${diskGiB} from sandbox where jobs.sandbox_id = sandbox.id and ${LIVE}`.execute(
          db,
        ),
      );
    },
  };
}

const periodBegins = (at: Date) => sql`period as (
  insert into awake_periods (sandbox_id, account_id, began_at)
  select id, account_id, ${at} from sandbox on conflict do nothing
)`;

const periodEnds = (at: Date) => sql`period as (
  update awake_periods set ended_at = greatest(began_at, ${at}) from sandbox
  where sandbox_id = sandbox.id and ended_at is null
)`;

/** Key and port; the port has a rest before another sandbox gets it. */
const accessEnds = (at: Date) => sql`access as (
  delete from sandbox_ssh using sandbox where sandbox_id = sandbox.id returning port
),
retired as (
  insert into retired_ports (port, retired_at) select port, ${at} from access where port is not null
  on conflict (port) do update set retired_at = excluded.retired_at
)`;

/** To the owner if it lives, else to the newest job. */
const eventTold = (event: NewJobEvent, reportId: string | null) => sql`told as (
  insert into job_events (job_id, at, name, data, report_id)
  select job_id, ${event.at}, ${event.name}, ${storableJson(event.data)}, ${reportId}::uuid
  from (
    select (
      select jobs.id from jobs where sandbox_id = sandbox.id
      order by (jobs.id = owner_job_id and ${LIVE}) desc nulls last, seq desc limit 1
    ) as job_id
    from sandbox
  ) as target
  where job_id is not null
  on conflict do nothing
)`;
