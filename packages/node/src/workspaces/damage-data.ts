import type { Damage } from "@mags/block-server";
import type { SandboxRecord } from "../sandboxes/sandbox-record.ts";

/** What is told of damage: in which workspace and version, where on the disk, and which versions are sound there. */
export function damageData(
  { policy }: Pick<SandboxRecord, "policy">,
  { version: { workspace, version }, offset, length, reason, sound }: Damage,
): Readonly<Record<string, unknown>> {
  const { syncTo } = policy;
  const names = new Map<string, string>();
  if (syncTo?.forkedFrom) names.set(syncTo.forkedFrom.workspaceId, syncTo.forkedFrom.name);
  if (syncTo) names.set(syncTo.workspaceId, syncTo.name);
  return {
    ...{ workspaceId: workspace, workspace: names.get(workspace) ?? workspace, version: version.seq },
    ...{ offset, length, reason, soundVersions: sound },
  };
}
