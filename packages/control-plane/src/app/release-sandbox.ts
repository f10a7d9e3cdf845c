import type { Clock, Logger } from "@mags/core";
import type { NodeRuntime, SandboxId } from "@mags/domain";
import type { SandboxReports } from "./sandbox-reports.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export interface ReleaseDeps {
  readonly sandboxes: SandboxStore;
  readonly reports: SandboxReports;
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Ends a sandbox with what runs in it and its disk; resolves when it is gone and that is stored. May be repeated, also by
 * the reconciler, which finishes what a restart cut off.
 */
export async function releaseSandbox(
  { reports, node, clock }: ReleaseDeps,
  sandboxId: SandboxId,
  options: { readonly reason: string },
): Promise<void> {
  await node.releaseSandbox(sandboxId, options);
  await reports.settled(sandboxId);
  // Without effect where the node has told of it.
  const at = clock.now();
  const end = { at, message: `its VM and disk were removed: ${options.reason}` };
  await reports.end(sandboxId, end, { at, name: "released", data: { ...options } });
}
