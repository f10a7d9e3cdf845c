import type { Clock } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import type { WorkspaceKey } from "./keys.ts";
import { acquireLease } from "./lease.ts";

/**
 * Marks a workspace as deleted: nobody can open or write it any more, and the collector removes what it has once
 * nothing stands on it. Takes the right to write from whoever has it. A head that is lost is written anew for that, under
 * the workspace's id as its name.
 * @throws AppError `workspace_not_found`, also when it is deleted already.
 */
export async function deleteWorkspace(
  store: ObjectStore,
  key: WorkspaceKey,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const anew = { name: key.workspace, forked_from: null };
  const lease = await acquireLease(store, key, { holder: "deletion", ttlMs: 0, force: true, anew, clock, signal });
  await lease.update((head) => ({ ...head, state: "deleted", deleted_at: clock.now().toISOString() }), { signal });
}
