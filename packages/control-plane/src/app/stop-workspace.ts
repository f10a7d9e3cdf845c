import { messageOf, untilAborted } from "@mags/core";
import type { AccountId } from "@mags/domain";
import { type ReleaseDeps, releaseSandbox } from "./release-sandbox.ts";
import type { Stopped } from "./stop-job.ts";

/** Releases the VM of a workspace that is only kept warm; what is not done within `patienceMs` goes on. */
export async function stopWorkspace(
  deps: ReleaseDeps,
  accountId: AccountId,
  workspaceId: string,
  options: { readonly patienceMs: number },
): Promise<Stopped> {
  const { sandboxes, clock, log } = deps;
  const sandbox = await sandboxes.ofWorkspace(accountId, workspaceId);
  // Whoever came to use it meanwhile keeps it.
  if (!sandbox || !(await sandboxes.requestRelease(sandbox.id, clock.now()))) return "ended";
  const released = releaseSandbox(deps, sandbox.id, { reason: "stopped" });
  released.catch((error: unknown) =>
    log.warn("sandbox.release_failed", { sandboxId: sandbox.id, error: messageOf(error) }),
  );
  return untilAborted(released, AbortSignal.timeout(options.patienceMs)).then(
    () => "ended",
    () => "ending",
  );
}
