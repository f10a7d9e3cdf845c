import { messageOf } from "@mags/core";
import { type HandToSandboxDeps, handWaiting } from "./hand-to-sandbox.ts";
import type { SandboxFollower } from "./job-writer.ts";
import type { SandboxReports } from "./sandbox-reports.ts";

export interface SandboxFollowerDeps extends HandToSandboxDeps {
  readonly reports: SandboxReports;
}

export function createSandboxFollower(deps: SandboxFollowerDeps): SandboxFollower {
  const { reports, policies, log } = deps;
  return {
    async begun(sandboxId, microVmId, at) {
      await reports.begin(sandboxId, microVmId, at);
      await handWaiting(deps, sandboxId);
    },
    async failed(sandboxId, message, at) {
      const event = { at, name: "sandbox_not_made", data: { message } };
      await reports.end(sandboxId, { at, message, onlyStarting: true }, event);
      // In the background: the job's end does not wait for the node, which may be about to tell of it.
      policies.push(sandboxId).catch((error: unknown) => {
        log.warn("sandbox.policy_not_set", { sandboxId, error: messageOf(error) });
      });
    },
  };
}
