import type { SandboxId } from "@mags/domain";
import { sql } from "kysely";
import type { SandboxStore } from "../app/sandbox-store.ts";
import type { Database } from "./database.ts";
import { LIVE } from "./job-statements.ts";
import { createSandboxChanges } from "./sandbox-changes.ts";
import { createSandboxJobs } from "./sandbox-jobs.ts";
import { type LiveRow, liveFromRow, liveJobsIn, ofWorkspace, sandboxFromRow } from "./sandbox-rows.ts";
import { TARGET_COLUMNS, targetFromRow } from "./workspace-rows.ts";

export function createSandboxStore(database: Database): SandboxStore {
  return {
    ...createSandboxJobs(database),
    ...createSandboxChanges(database),

    async ofWorkspace(accountId, workspaceId) {
      const row = await database.run((db) => ofWorkspace(db, accountId, workspaceId).executeTakeFirst());
      return row ? sandboxFromRow(row) : null;
    },

    async get(sandboxId) {
      const row = await database.run((db) =>
        db.selectFrom("sandboxes").selectAll().where("id", "=", sandboxId).executeTakeFirst(),
      );
      return row ? sandboxFromRow(row) : null;
    },

    async policyFacts(sandboxId) {
      const row = await database.run((db) =>
        db
          .selectFrom("sandboxes")
          .leftJoin("jobs", (on) =>
            on.onRef("jobs.id", "=", "sandboxes.owner_job_id").on("jobs.completed_at", "is", null),
          )
          .leftJoin("workspaces", "workspaces.id", "sandboxes.syncs_to")
          .select(["kept", "sandboxes.egress", "jobs.id", "no_sleep", "idle_minutes", "startup_command"])
          .select(["sandboxes.workspace_id", ...TARGET_COLUMNS])
          .where("sandboxes.id", "=", sandboxId)
          .executeTakeFirst(),
      );
      if (!row) return null;
      const { kept, egress, id, no_sleep, idle_minutes, startup_command: startupCommand } = row;
      const common = { kept, named: row.workspace_id !== null, egress, syncTo: targetFromRow(row) };
      if (id === null) return { ...common, owner: null };
      return { ...common, owner: { noSleep: no_sleep ?? false, idleMinutes: idle_minutes ?? 0, startupCommand } };
    },

    liveJobs: (sandboxId) => database.run((db) => liveJobsIn(db, sandboxId)),

    async live() {
      const statement = sql<LiveRow>`select sandboxes.*, workspaces.seq,
          release_requested_at is not null or owner.stop_requested_at is not null as release_requested,
          exists (select from jobs where jobs.sandbox_id = sandboxes.id and makes_sandbox and ${LIVE}) as maker_lives
        from sandboxes left join jobs as owner on owner.id = sandboxes.owner_job_id
          left join workspaces on workspaces.id = syncs_to
        where ended_at is null order by sandboxes.created_at`;
      const { rows } = await database.run((db) => statement.execute(db));
      return rows.map(liveFromRow);
    },

    async knownAmong(sandboxIds) {
      const rows = await database.run((db) =>
        db
          .selectFrom("sandboxes")
          .select(["id", "ended_at"])
          .where(sql<boolean>`id = any(${sandboxIds}::uuid[])`)
          .execute(),
      );
      return new Map(rows.map((row) => [row.id as SandboxId, row.ended_at === null ? "live" : "ended"]));
    },
  };
}
