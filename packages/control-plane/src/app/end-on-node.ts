import { type Logger, messageOf } from "@mags/core";
import type { NodeRuntime } from "@mags/domain";
import type { SandboxReports } from "./sandbox-reports.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export interface EndOnNodeDeps {
  readonly sandboxes: SandboxStore;
  readonly reports: SandboxReports;
  readonly node: NodeRuntime;
  readonly log: Logger;
}

/** Leaves no microVM: puts sandboxes to sleep, with what runs in them, and ends all other jobs. */
export async function endOnNode({ sandboxes, reports, node, log }: EndOnNodeDeps): Promise<void> {
  const observed = node.observeSandboxes().map(({ sandboxId }) => sandboxId);
  const inside = await Promise.all(observed.map((id) => sandboxes.liveJobs(id)));
  const staying = new Set(inside.flat().map(({ id }) => id));
  const ending = node.observe().filter(({ jobId }) => !staying.has(jobId));
  await Promise.all([
    ...ending.map(({ jobId }) => node.stop(jobId)),
    ...observed.map(async (sandboxId) => {
      await node
        .sleepSandbox(sandboxId, { reason: "requested" })
        .catch((error: unknown) => log.warn("sandbox.sleep_failed", { sandboxId, error: messageOf(error) }));
      await reports.settled(sandboxId);
    }),
  ]);
}
