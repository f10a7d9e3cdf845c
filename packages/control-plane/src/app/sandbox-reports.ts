/** Brings what happens to sandboxes into the database, in the order of each, and from there to those who wait for a job. */
import { randomUUID } from "node:crypto";
import { type Logger, messageOf } from "@mags/core";
import { isTerminal, type MicroVmId, type SandboxId, type SandboxUpdate, type WorkspaceId } from "@mags/domain";
import type { NewJobEvent } from "./job.ts";
import type { JobChanges } from "./job-changes.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobTimings } from "./job-timings.ts";
import type { SandboxTransition } from "./sandbox.ts";
import type { ChangedStatus, NewSandboxState, SandboxEnd, SandboxStore } from "./sandbox-store.ts";
import { syncEvent, syncOf } from "./sync-events.ts";
import { createTurns } from "./turns.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface SandboxReportsDeps {
  readonly sandboxes: SandboxStore;
  readonly workspaces: WorkspaceRecords;
  readonly queue: () => Pick<JobQueue, "vacate">;
  readonly changes: JobChanges;
  readonly timings: JobTimings;
  /** Counts. */
  readonly onDamage: () => void;
  /** That it has ended is stored. Must not throw. */
  readonly onEnded: (sandboxId: SandboxId) => void;
  readonly log: Logger;
}

export interface SandboxReports {
  /** Takes a report of the node. Never throws, never blocks. */
  handle(update: SandboxUpdate): void;
  /** Resolves when what was reported of a sandbox before is stored. */
  settled(sandboxId: SandboxId): Promise<void>;
  /** As `SandboxStore.markBegun`, in the sandbox's turn. */
  begin(sandboxId: SandboxId, microVmId: MicroVmId, at: Date): Promise<void>;
  /** As `SandboxStore.markState`, in the sandbox's turn. */
  mark(sandboxId: SandboxId, change: NewSandboxState, event: NewJobEvent): Promise<void>;
  /** As `SandboxStore.end`, in the sandbox's turn. */
  end(sandboxId: SandboxId, end: SandboxEnd, event: NewJobEvent): Promise<void>;
  /** As `JobWriter.close`. */
  close(options: { readonly deadlineMs: number }): Promise<void>;
}

/** What `mags status` tells of; other events are history. */
const TRANSITIONS: ReadonlySet<string> = new Set(["slept", "woke", "vm_lost"]);

const SYNCS: ReadonlySet<string> = new Set(["synced", "sync_failed", "sync_lost"]);

export function createSandboxReports(deps: SandboxReportsDeps): SandboxReports {
  const { sandboxes, workspaces, changes, timings, log } = deps;
  const turns = createTurns<SandboxId>();

  function tell(changed: readonly ChangedStatus[]): void {
    for (const { jobId, status } of changed) {
      if (isTerminal(status)) timings.ended(jobId, status === "completed" ? "completed" : "error");
      changes.notify(jobId, "stored");
    }
  }

  const mark = (sandboxId: SandboxId, change: NewSandboxState, event: NewJobEvent, reportId: string) =>
    turns.run(sandboxId, async () => tell(await sandboxes.markState(sandboxId, change, event, reportId)));

  function end(sandboxId: SandboxId, how: SandboxEnd, event: NewJobEvent): Promise<void> {
    const ended = turns.run(sandboxId, async () => tell(await sandboxes.end(sandboxId, how, event)));
    return ended.then(() => {
      deps.onEnded(sandboxId);
      deps.queue().vacate(sandboxId);
    });
  }

  function store(update: SandboxUpdate): Promise<void> {
    const { sandboxId, state, microVmId, name } = update;
    const at = new Date(update.atMs);
    if (name === "workspace_damaged") return storeDamage(update, randomUUID());
    if (name === "hydrated") return storeHydrated(update, randomUUID());
    if (SYNCS.has(name)) return storeSync(update, randomUUID());
    const event = { at, name, data: { ...update.data, ...(microVmId !== null && { microVmId }) } };
    if (state === "gone") return end(sandboxId, { at, message: goneText(update) }, event);
    const transition = TRANSITIONS.has(name) ? transitionOf(event) : null;
    return mark(sandboxId, { state, microVmId, at, transition }, event, randomUUID());
  }

  function storeHydrated({ sandboxId, atMs, name, data }: SandboxUpdate, reportId: string): Promise<void> {
    const at = new Date(atMs);
    return turns.run(sandboxId, async () => {
      await sandboxes.markHydrated(sandboxId, at);
      await sandboxes.tell(sandboxId, { at, name, data }, reportId);
    });
  }

  /** The node knows the names of some workspaces only. */
  function storeDamage({ sandboxId, atMs, name, data }: SandboxUpdate, reportId: string): Promise<void> {
    deps.onDamage();
    return turns.run(sandboxId, async () => {
      const named = await workspaces.nameOf(data.workspaceId as WorkspaceId);
      const told = { ...data, workspace: named ?? data.workspace, isDeleted: named === null };
      await sandboxes.tell(sandboxId, { at: new Date(atMs), name, data: told }, reportId);
    });
  }

  /** What happens to the workspace; its sandbox is as it was. */
  function storeSync(update: SandboxUpdate, reportId: string): Promise<void> {
    const { sandboxId, atMs } = update;
    const sync = syncOf(update);
    const event = syncEvent(update);
    return turns.run(sandboxId, async () => {
      if (sync) await workspaces.recordSync(sandboxId, sync.version, new Date(sync.syncedAtMs ?? atMs));
      if (event) await sandboxes.tell(sandboxId, event, reportId);
    });
  }

  return {
    handle(update) {
      store(update).catch((error: unknown) => {
        const { sandboxId, name } = update;
        if (!turns.closed) log.error("sandbox.report_not_stored", { sandboxId, name, error: messageOf(error) });
      });
    },
    settled: turns.settled,
    begin: (sandboxId, microVmId, at) => turns.run(sandboxId, () => sandboxes.markBegun(sandboxId, microVmId, at)),
    mark: (sandboxId, change, event) => mark(sandboxId, change, event, randomUUID()),
    end,
    async close(options) {
      await turns.close(options).catch((error: unknown) => {
        log.warn("sandbox.reports_given_up", { sandboxes: turns.size, error: messageOf(error) });
      });
    },
  };
}

export function transitionOf({ at, name, data }: NewJobEvent): SandboxTransition {
  return { name, reason: typeof data.reason === "string" ? data.reason : null, at: at.toISOString() };
}

function goneText({ data }: SandboxUpdate): string {
  return typeof data.reason === "string"
    ? `its VM and disk were removed: ${data.reason}`
    : "its VM and disk were removed";
}
