import { randomUUID } from "node:crypto";
import { AppError, type Clock, isAppError, type Logger, messageOf, withDeadline } from "@mags/core";
import type { NodeRuntime, ObservedSync, SandboxId } from "@mags/domain";
import type { Policies } from "./policies.ts";
import { isUntoldPromotion, tellPromotion } from "./promotion.ts";
import type { SandboxReports } from "./sandbox-reports.ts";
import type { SandboxStore } from "./sandbox-store.ts";
import { takeOverVersion } from "./take-over-version.ts";
import type { WorkspaceRecords } from "./workspace-records.ts";

export interface ReleaseDeps {
  readonly sandboxes: SandboxStore;
  readonly workspaces: WorkspaceRecords;
  readonly reports: SandboxReports;
  readonly policies: Policies;
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ReleaseOptions {
  readonly reason: string;
  /** Also when what changed in a synced one cannot be published: an event tells of it. Default: then it stays. */
  readonly discard?: boolean | undefined;
}

/** How long is tried to publish what would be dropped otherwise: whoever forces does not want to wait. */
const FORCED_MS = 5_000;
const tooLong = () => new AppError("unavailable", `it takes longer than ${FORCED_MS / 1000} s`);

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
  const { sandboxes, reports, policies, node, clock } = deps;
  const isPromotion = isUntoldPromotion(node, await sandboxes.get(sandboxId));
  const told = isPromotion ? tellPromotion(policies, sandboxId) : Promise.resolve();
  const released = told.then(() => node.releaseSandbox(sandboxId, { reason }));
  await (discard ? withDeadline(released, FORCED_MS, tooLong) : released).catch(async (error: unknown) => {
    const sync = node.observeSandboxes().find((seen) => seen.sandboxId === sandboxId)?.sync;
    // What is local has nothing to publish, and what is gone neither.
    if (!sync && !isPromotion) throw error;
    const why = whyOf(deps, sandboxId, error);
    if (!discard) throw new AppError("changes_not_synced", why, { cause: error });
    await discardChanges(deps, sandboxId, { reason, why, sync });
  });
  await reports.settled(sandboxId);
  // Without effect where the node has told of it.
  await takeOverVersion(deps, sandboxId);
  const at = clock.now();
  const end = { at, message: `its VM and disk were removed: ${reason}` };
  await reports.end(sandboxId, end, { at, name: "released", data: { reason } });
}

function whyOf({ log }: ReleaseDeps, sandboxId: SandboxId, error: unknown): string {
  if (isAppError(error)) return error.message;
  log.warn("sandbox.release_failed", { sandboxId, error: messageOf(error) });
  return "it took too long, or failed otherwise";
}

async function discardChanges(
  { sandboxes, node, clock }: ReleaseDeps,
  sandboxId: SandboxId,
  {
    reason,
    why,
    sync,
  }: { readonly reason: string; readonly why: string; readonly sync: ObservedSync | undefined | null },
): Promise<void> {
  // Of one that never came to be synced it is not known how much that is.
  const data = { reason: why, behindBytes: sync?.behindBytes ?? null, version: sync?.version?.seq ?? null };
  await sandboxes.tell(sandboxId, { at: clock.now(), name: "changes_discarded", data }, randomUUID());
  await node.releaseSandbox(sandboxId, { reason, discard: true });
}
