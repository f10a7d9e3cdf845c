/** How jobs get into sandboxes. */
import { type Kysely, sql } from "kysely";
import type { NewJob, NewJobEvent } from "../app/job.ts";
import type { SandboxStore } from "../app/sandbox-store.ts";
import type { Database } from "./database.ts";
import { insertJob, LIVE } from "./job-statements.ts";
import { liveJobsIn, ofWorkspace, sandboxFromRow } from "./sandbox-rows.ts";
import { storableJson } from "./storable.ts";
import type { Tables } from "./tables.ts";

export function createSandboxJobs(database: Database): Pick<SandboxStore, "insertFirst" | "join"> {
  return {
    insertFirst: (job, sandbox, events) =>
      database.run((db) =>
        db.transaction().execute(async (tx) => {
          const { size } = job;
          const made = await tx
            .insertInto("sandboxes")
            .values({
              ...{ id: sandbox.id, account_id: job.accountId, workspace_id: job.workspaceId },
              ...{ subdomain: sandbox.subdomain, kept: job.persistent, owner_job_id: job.persistent ? job.id : null },
              ...{ state: "starting", micro_vm_id: null, last_transition: null, created_at: job.createdAt },
              ...{ image: size.image, vcpus: size.vcpus, memory_mib: size.memoryMiB, disk_gib: size.diskGiB },
              ...{ egress: JSON.stringify(size.egress), release_requested_at: null, ended_at: null },
            })
            // Of its own id, when this runs again, as of its workspace.
            .onConflict((on) => on.doNothing())
            .returning("id")
            .executeTakeFirst();
          if (!made) return (await isStored(tx, job)) ? ("stored" as const) : ("taken" as const);
          await insertJob(job, events).execute(tx);
          return "stored" as const;
        }),
      ),

    join: (job, events, decide) =>
      database.run((db) =>
        db.transaction().execute(async (tx) => {
          if (await isStored(tx, job)) return { kind: "joined" as const };
          // Whoever has no workspace shares no sandbox.
          const row = await ofWorkspace(tx, job.accountId, job.workspaceId ?? "")
            .forUpdate()
            .executeTakeFirst();
          if (!row) return { kind: "gone" as const };
          const sandbox = sandboxFromRow(row);
          const use = decide(sandbox, await liveJobsIn(tx, sandbox.id));
          if (use.kind !== "join") return { kind: "refused" as const, use };
          const { id, createdAt } = job;
          if (use.takesOver) await takeOver(tx, use.takesOver, { at: createdAt, name: "taken_over", data: { by: id } });
          const role = { id: sandbox.id, makes: false, owns: use.owns };
          await insertJob({ ...job, size: use.size, sandbox: role }, events).execute(tx);
          await tx
            .updateTable("sandboxes")
            .set({ egress: JSON.stringify(use.size.egress), ...(use.owns && { owner_job_id: id, kept: true }) })
            .where("id", "=", sandbox.id)
            .execute();
          return { kind: "joined" as const };
        }),
      ),
  };
}

async function isStored(db: Kysely<Tables>, job: NewJob): Promise<boolean> {
  return (await db.selectFrom("jobs").select("id").where("id", "=", job.id).executeTakeFirst()) !== undefined;
}

/** The owner before completes; how its script ended stays as it was. */
async function takeOver(db: Kysely<Tables>, jobId: string, event: NewJobEvent): Promise<void> {
  await sql`with changed as (
      update jobs set status = 'completed', completed_at = ${event.at} where id = ${jobId} and ${LIVE} returning id
    )
    insert into job_events (job_id, at, name, data)
    select id, ${event.at}, ${event.name}, ${storableJson(event.data)} from changed`.execute(db);
}
