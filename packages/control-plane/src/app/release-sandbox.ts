import { randomUUID } from "node:crypto";
import { AppError, type Clock, isAppError, type Logger } from "@mags/core";
import type { NodeRuntime, SandboxId } from "@mags/domain";
import type { SandboxReports } from "./sandbox-reports.ts";
import type { SandboxStore } from "./sandbox-store.ts";
import { takeOverVersion } from "./take-over-version.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface ReleaseDeps {
  readonly sandboxes: SandboxStore;
  readonly workspaces: WorkspaceRecords;
  readonly reports: SandboxReports;
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ReleaseOptions {
  readonly reason: string;
  /** Also when what changed in a synced one cannot be published: an event tells of it. Default: then it stays. */
  readonly discard?: boolean | undefined;
}

/**
 * Ends a sandbox with what runs in it and its disk, after its last changes are published if it is synced; resolves when
 * it is gone and that is stored. May be repeated, also by the reconciler, which finishes what a restart cut off.
 * @throws AppError `changes_not_synced` when its last changes cannot be published now: it runs on.
 */
export async function releaseSandbox(
  deps: ReleaseDeps,
  sandboxId: SandboxId,
  { reason, discard = false }: ReleaseOptions,
): Promise<void> {
  const { reports, node, clock } = deps;
  await node.releaseSandbox(sandboxId, { reason }).catch(async (error: unknown) => {
    if (!isAppError(error, "unavailable")) throw error;
    if (!discard) throw new AppError("changes_not_synced", error.message, { cause: error });
    await discardChanges(deps, sandboxId, { reason, why: error.message });
  });
  await reports.settled(sandboxId);
  // Without effect where the node has told of it.
  await takeOverVersion(deps, sandboxId);
  const at = clock.now();
  const end = { at, message: `its VM and disk were removed: ${reason}` };
  await reports.end(sandboxId, end, { at, name: "released", data: { reason } });
}

async function discardChanges(
  { sandboxes, node, clock }: ReleaseDeps,
  sandboxId: SandboxId,
  { reason, why }: { readonly reason: string; readonly why: string },
): Promise<void> {
  const sync = node.observeSandboxes().find((seen) => seen.sandboxId === sandboxId)?.sync;
  const data = { reason: why, behindBytes: sync?.behindBytes ?? null, version: sync?.version?.seq ?? null };
  await sandboxes.tell(sandboxId, { at: clock.now(), name: "changes_discarded", data }, randomUUID());
  await node.releaseSandbox(sandboxId, { reason, discard: true });
}
