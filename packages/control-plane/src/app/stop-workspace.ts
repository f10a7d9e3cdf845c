import { messageOf, untilAborted } from "@mags/core";
import type { AccountId, SandboxId } from "@mags/domain";
import type { ReleaseDeps } from "./release-sandbox.ts";
import { ENDED, releaseOrTell, type StopOptions, type Stopped, stoppedBy } from "./stop-job.ts";

/** Releases the VM of a workspace in which no job lives; what is not done within `patienceMs` goes on. */
export async function stopWorkspace(
  deps: ReleaseDeps,
  accountId: AccountId,
  name: string,
  options: StopOptions,
): Promise<Stopped> {
  const { sandboxes, workspaces, clock } = deps;
  const sandbox = await sandboxes.ofWorkspace(accountId, name);
  // Whoever came to use it meanwhile keeps it.
  if (sandbox)
    return (await sandboxes.requestRelease(sandbox.id, clock.now())) ? releaseInTime(deps, sandbox.id, options) : ENDED;
  const releasing = (await workspaces.find(accountId, name))?.releasing;
  return releasing ? releaseInTime(deps, releasing, options) : ENDED;
}

/** Releases a sandbox whose release is stored as a wish; what is not done within `patienceMs` goes on. */
export async function releaseInTime(
  deps: ReleaseDeps,
  sandboxId: SandboxId,
  { patienceMs, discard }: StopOptions,
): Promise<Stopped> {
  const released = releaseOrTell(deps, sandboxId, { reason: "stopped", discard });
  released.catch((error: unknown) => deps.log.warn("sandbox.release_failed", { sandboxId, error: messageOf(error) }));
  return untilAborted(released, AbortSignal.timeout(patienceMs)).then(() => ENDED, stoppedBy);
}
