import { listVersions } from "./find-base.ts";
import type { ReleaseDeps } from "./release-sandbox.ts";

/**
 * Stores what was published last of the workspace of a sandbox that the node does not have any more and whose end is not
 * stored: nobody may have told of it. Without effect where it has ended, or is local.
 * @throws AppError `unavailable` when the object store is away.
 */
export async function takeOverVersion(
  { sandboxes, workspaces, node }: Pick<ReleaseDeps, "sandboxes" | "workspaces" | "node">,
  sandboxId: Parameters<ReleaseDeps["sandboxes"]["get"]>[0],
): Promise<void> {
  const sandbox = await sandboxes.get(sandboxId);
  if (!sandbox?.syncsTo || sandbox.state === "gone") return;
  const { accountId, syncsTo: id } = sandbox;
  const latest = (await listVersions({ node }, { id, accountId })).at(-1);
  if (latest) await workspaces.recordVersion(id, latest, new Date(latest.createdAtMs));
}
