import type { AccountId, JobId, JobStatus, SandboxId, VersionName, WorkspaceId, WorkspaceVersion } from "@mags/domain";
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { StandingSandbox, WorkspaceRecords } from "../app/workspace-records.ts";
import type { Database } from "./database.ts";
import { LIVE } from "./job-statements.ts";
import type { Tables } from "./tables.ts";
import { selectWorkspaces, workspaceFromRow, workspaceNamed } from "./workspace-rows.ts";

export function createWorkspaceRecords(database: Database): WorkspaceRecords {
  const record = (which: RawBuilder<unknown>, version: WorkspaceVersion, syncedAt: Date) =>
    database.run((db) =>
      sql`update workspaces set seq = ${version.seq}, sha256 = ${version.sha256}, disk_bytes = ${version.diskBytes},
          data_bytes = ${version.dataBytes}, stored_bytes = ${version.storedBytes},
          updated_at = greatest(updated_at, ${new Date(version.createdAtMs)}),
          last_synced_at = greatest(last_synced_at, ${syncedAt})
        where id = ${which} and coalesce(seq, 0) <= ${version.seq}`.execute(db),
    );

  /** What `standing` finds, and in the same transaction, if that is nothing, `change`. */
  const unless = (
    id: WorkspaceId,
    standing: (db: Kysely<Tables>) => Promise<readonly StandingSandbox[]>,
    ...changes: readonly RawBuilder<unknown>[]
  ) =>
    database.run((db) =>
      db.transaction().execute(async (tx) => {
        // Nobody opens it in between.
        await tx.selectFrom("workspaces").select("id").where("id", "=", id).forUpdate().execute();
        const found = await standing(tx);
        if (found.length === 0) for (const change of changes) await change.execute(tx);
        return found;
      }),
    );

  return {
    async find(accountId, name) {
      const row = await database.run((db) => workspaceNamed(db, accountId, name).executeTakeFirst());
      return row ? workspaceFromRow(row) : null;
    },

    async nameOf(id) {
      const row = await database.run((db) =>
        db
          .selectFrom("workspaces")
          .select("name")
          .where("id", "=", id)
          .where("deleted_at", "is", null)
          .executeTakeFirst(),
      );
      return row?.name ?? null;
    },

    async list(accountId) {
      const rows = await database.run((db) =>
        selectWorkspaces(db)
          .leftJoin("sandboxes", (on) =>
            on.onRef("sandboxes.syncs_to", "=", "workspaces.id").on("sandboxes.ended_at", "is", null),
          )
          .select("sandboxes.id as sandbox_id")
          .select(sql<string | null>`(${newestJob(sql`sandbox_id = sandboxes.id and ${LIVE}`)})`.as("active_job_id"))
          .where("workspaces.account_id", "=", accountId)
          .where("deleted_at", "is", null)
          .where((on) => on.or([on("seq", "is not", null), on("sandboxes.id", "is not", null)]))
          .orderBy("name")
          .execute(),
      );
      return rows.map((row) => ({
        ...workspaceFromRow(row),
        activeJobId: row.active_job_id as JobId | null,
        sandboxId: row.sandbox_id as SandboxId | null,
      }));
    },

    async recordVersion(id, version, syncedAt) {
      await record(sql`${id}`, version, syncedAt);
    },
    async recordSync(sandboxId, version, syncedAt) {
      await record(sql`(select syncs_to from sandboxes where id = ${sandboxId})`, version, syncedAt);
    },
    async recordCompaction(id, { seq, sha256, storedBytes }) {
      await database.run((db) =>
        sql`update workspaces set seq = ${seq}, sha256 = ${sha256}, stored_bytes = ${storedBytes}
          where id = ${id} and seq < ${seq}
            and not exists (select from sandboxes where syncs_to = ${id} and ended_at is null)`.execute(db),
      );
    },

    delete: (id, at) =>
      unless(
        id,
        (db) => standing(db, sql`syncs_to = ${id} or (${standsOn(id)}) or ${isCopy(id)}`),
        // First: of one that is deleted already, aliases of its name may lead to the next of that name.
        sql`delete from url_aliases where (account_id, workspace_id) =
          (select account_id, name from workspaces where id = ${id} and deleted_at is null)`,
        sql`update workspaces set deleted_at = coalesce(deleted_at, ${at}) where id = ${id}`,
      ),
    beginRestore: (id, at) =>
      unless(
        id,
        (db) => standing(db, sql`syncs_to = ${id} or ${isCopy(id)}`),
        sql`update workspaces set restoring_at = ${at} where id = ${id}`,
      ),

    async markRemoved(id, at) {
      await database.run((db) => db.updateTable("workspaces").set({ removed_at: at }).where("id", "=", id).execute());
    },
    async endRestore(id) {
      await database.run((db) =>
        db.updateTable("workspaces").set({ restoring_at: null }).where("id", "=", id).execute(),
      );
    },

    async unfinished() {
      const rows = await database.run((db) =>
        selectWorkspaces(db)
          .where(sql<boolean>`restoring_at is not null or (deleted_at is not null and removed_at is null)`)
          .execute(),
      );
      const of = (isSo: (row: (typeof rows)[number]) => boolean) => rows.filter(isSo).map(workspaceFromRow);
      return {
        deleted: of((row) => row.deleted_at !== null),
        restoring: of((row) => row.deleted_at === null),
      };
    },

    async accounts() {
      const rows = await database.run((db) => db.selectFrom("workspaces").select("account_id").distinct().execute());
      return rows.map((row) => row.account_id as AccountId);
    },

    async pins(id) {
      const statement = sql<VersionName>`
        select from_seq as seq, from_sha256 as sha256 from sandboxes where ${standsOn(id)} and ended_at is null
        union
        select seq, sha256 from workspaces where id = ${id} and seq is not null and deleted_at is null
        order by seq`;
      const { rows } = await database.run((db) => statement.execute(db));
      return rows;
    },
  };
}

/** Its disk is read from there. */
const standsOn = (id: WorkspaceId) => sql`from_workspace_id = ${id} and hydrated_at is null`;

/** It has the workspace's name, synced or not. */
const isCopy = (id: WorkspaceId) =>
  sql`(account_id, workspace_id) = (select account_id, name from workspaces where id = ${id})`;

const newestJob = (which: RawBuilder<unknown>) =>
  sql`select jobs.id from jobs where ${which} order by ${LIVE} desc, seq desc limit 1`;

async function standing(db: Kysely<Tables>, which: RawBuilder<unknown>): Promise<readonly StandingSandbox[]> {
  const statement = sql<{
    readonly id: SandboxId;
    readonly workspace_id: string | null;
    readonly syncs_to: WorkspaceId | null;
    readonly job_id: JobId | null;
    readonly name: string;
    readonly status: JobStatus;
  }>`select sandboxes.id, sandboxes.workspace_id, syncs_to, job.id as job_id, job.name, job.status
    from sandboxes left join jobs as job on job.id = (${newestJob(sql`jobs.sandbox_id = sandboxes.id`)})
    where sandboxes.ended_at is null and sandboxes.id in (select id from sandboxes where ended_at is null and (${which}))
    order by sandboxes.created_at`;
  const { rows } = await statement.execute(db);
  return rows.map(({ id, workspace_id: workspaceId, syncs_to: syncsTo, job_id, name, status }) => ({
    ...{ id, workspaceId, syncsTo, job: job_id && { id: job_id, name, status } },
  }));
}
