import type { Damage } from "@mags/block-server";
import type { SyncTarget } from "@mags/domain";

/**
 * What is told of damage: in which workspace and version, where on the disk, and which versions are sound there.
 * @param syncTo  Of who met it; it names some workspaces. One that is not named is told by its id.
 */
export function damageData(
  syncTo: SyncTarget | null,
  { version: { workspace, version }, offset, length, reason, sound }: Damage,
): Readonly<Record<string, unknown>> {
  const names = new Map<string, string>();
  if (syncTo?.forkedFrom) names.set(syncTo.forkedFrom.workspaceId, syncTo.forkedFrom.name);
  if (syncTo) names.set(syncTo.workspaceId, syncTo.name);
  return {
    ...{ workspaceId: workspace, workspace: names.get(workspace) ?? workspace, version: version.seq },
    ...{ offset, length, reason, soundVersions: sound },
  };
}
