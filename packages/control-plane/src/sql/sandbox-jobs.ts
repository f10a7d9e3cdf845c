/** How jobs get into sandboxes. Everybody locks a workspace's row before that of its sandbox, and that before its jobs. */
import type { SyncTarget } from "@mags/domain";
import { type Kysely, sql } from "kysely";
import type { NewJob, NewJobEvent } from "../app/job.ts";
import type { NewSandbox } from "../app/sandbox.ts";
import type { SandboxStore } from "../app/sandbox-store.ts";
import type { Workspace } from "../app/workspace.ts";
import type { Database } from "./database.ts";
import { insertJob, LIVE } from "./job-statements.ts";
import { liveJobsIn, ofWorkspace, sandboxFromRow } from "./sandbox-rows.ts";
import { storableJson } from "./storable.ts";
import type { Tables } from "./tables.ts";
import { workspaceFromRow, workspaceNamed } from "./workspace-rows.ts";

export function createSandboxJobs(database: Database): Pick<SandboxStore, "insertFirst" | "join"> {
  return {
    insertFirst: (job, sandbox, events) =>
      database.run((db) =>
        db.transaction().execute(async (tx) => {
          if (!isAsFound(await lockWorkspace(tx, job), sandbox.found) || !(await keepOrigin(tx, sandbox)))
            return (await isStored(tx, job)) ? ("stored" as const) : ("changed" as const);
          if (!(await insertSandbox(tx, job, sandbox)))
            return (await isStored(tx, job)) ? ("stored" as const) : ("taken" as const);
          if (sandbox.syncTo) await beginWorkspace(tx, sandbox.syncTo, job);
          await insertJob(job, events).execute(tx);
          return "stored" as const;
        }),
      ),

    join: (job, events, decide) =>
      database.run((db) =>
        db.transaction().execute(async (tx) => {
          if (await isStored(tx, job)) return { kind: "joined" as const };
          const workspace = await lockWorkspace(tx, job);
          // Whoever has no workspace shares no sandbox.
          const row = await ofWorkspace(tx, job.accountId, job.workspaceId ?? "")
            .forUpdate()
            .executeTakeFirst();
          if (!row) return { kind: "gone" as const };
          const sandbox = sandboxFromRow(row);
          const use = decide({ sandbox, jobs: await liveJobsIn(tx, sandbox.id), workspace });
          if (use.kind !== "join") return { kind: "refused" as const, use };
          const { id, createdAt } = job;
          if (use.takesOver) await takeOver(tx, use.takesOver, { at: createdAt, name: "taken_over", data: { by: id } });
          const joined = { ...job, size: use.size, sandbox: { id: sandbox.id, makes: false, owns: use.owns } };
          await insertJob(joined, events).execute(tx);
          if (use.promotesTo) await beginWorkspace(tx, use.promotesTo, joined);
          await tx
            .updateTable("sandboxes")
            .set({
              egress: JSON.stringify(use.size.egress),
              ...(use.owns && { owner_job_id: id, kept: true }),
              ...(use.promotesTo && { syncs_to: use.promotesTo.workspaceId }),
            })
            .where("id", "=", sandbox.id)
            .execute();
          return { kind: "joined" as const };
        }),
      ),
  };
}

/** The workspace of a job, which stands still until the transaction is over; others may take it as their base. */
async function lockWorkspace(tx: Kysely<Tables>, { accountId, workspaceId }: NewJob): Promise<Workspace | null> {
  if (workspaceId === null) return null;
  const row = await workspaceNamed(tx, accountId, workspaceId).forNoKeyUpdate("workspaces").executeTakeFirst();
  return row ? workspaceFromRow(row) : null;
}

function isAsFound(workspace: Workspace | null, found: NewSandbox["found"]): boolean {
  if (!workspace || !found) return !workspace && !found;
  return (
    workspace.id === found.id &&
    (workspace.latest?.seq ?? null) === found.seq &&
    !workspace.restoring &&
    !workspace.releasing
  );
}

/** Others may use the same one meanwhile, but nobody deletes it. @returns false when it is deleted. */
async function keepOrigin(tx: Kysely<Tables>, { from }: NewSandbox): Promise<boolean> {
  if (!from) return true;
  const rows = await tx
    .selectFrom("workspaces")
    .select("id")
    .where("id", "=", from.workspaceId)
    .where("deleted_at", "is", null)
    .forKeyShare()
    .execute();
  return rows.length > 0;
}

/** What leads to a workspace is as private as it was while another VM had it. */
const wasPrivate = ({ accountId, workspaceId }: NewJob) =>
  workspaceId === null
    ? false
    : sql<boolean>`coalesce((select url_private from sandboxes
        where account_id = ${accountId} and workspace_id = ${workspaceId} order by created_at desc limit 1), false)`;

async function insertSandbox(tx: Kysely<Tables>, job: NewJob, sandbox: NewSandbox): Promise<boolean> {
  const { size } = job;
  const { from, syncTo } = sandbox;
  const made = await tx
    .insertInto("sandboxes")
    .values({
      ...{ id: sandbox.id, account_id: job.accountId, workspace_id: job.workspaceId },
      ...{ subdomain: sandbox.subdomain, kept: job.persistent, owner_job_id: job.persistent ? job.id : null },
      ...{ state: "starting", micro_vm_id: null, last_transition: null, created_at: job.createdAt },
      ...{ image: size.image, vcpus: size.vcpus, memory_mib: size.memoryMiB, disk_gib: size.diskGiB },
      ...{ egress: JSON.stringify(size.egress), release_requested_at: null, ended_at: null },
      ...{ syncs_to: syncTo?.workspaceId ?? null, from_workspace_id: from?.workspaceId ?? null },
      ...{ from_name: from?.name ?? null, from_seq: from?.version.seq ?? null },
      from_sha256: from?.version.sha256 ?? null,
      url_private: wasPrivate(job),
    })
    // Of its own id, when this runs again, as of its workspace.
    .onConflict((on) => on.doNothing())
    .returning("id")
    .executeTakeFirst();
  return made !== undefined;
}

/** Stores a workspace that begins, or what one is that was never synced. */
async function beginWorkspace(tx: Kysely<Tables>, target: SyncTarget, job: NewJob): Promise<void> {
  const { workspaceId, accountId, name, forkedFrom } = target;
  const begun = {
    image: job.size.image,
    forked_from_id: forkedFrom?.workspaceId ?? null,
    forked_from_name: forkedFrom?.name ?? null,
    forked_from_seq: forkedFrom?.seq ?? null,
  };
  await tx
    .insertInto("workspaces")
    .values({
      ...{
        id: workspaceId,
        account_id: accountId,
        name,
        ...begun,
        created_at: job.createdAt,
        updated_at: job.createdAt,
      },
      ...{ seq: null, sha256: null, last_synced_at: null },
    })
    .onConflict((on) => on.column("id").doUpdateSet(begun).where("workspaces.seq", "is", null))
    .execute();
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
