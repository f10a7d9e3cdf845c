/** Publishes an older version of a workspace as its newest. */
import { AppError } from "@mags/core";
import { createVersionWriter, type HeadVersion, keptVersions, type Lease, latestOf } from "@mags/workspace-store";
import type { RestoreCall } from "../calls.ts";
import { openKey, type PublishDeps } from "./publish-disk.ts";

/**
 * Repeating it makes no second version, as it names what it comes after.
 * @throws AppError `workspace_in_use` when the workspace has got another version since.
 */
export async function restoreVersion(
  deps: PublishDeps,
  call: RestoreCall,
  { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal },
): Promise<HeadVersion> {
  const { store, clock, limitMs } = deps;
  const { newest, version } = call;
  const latest = latestOf(lease.head);
  if (latest?.sha256 !== newest.sha256) {
    if (latest && (await isDone(deps, call, { lease, signal }))) return latest;
    throw new AppError(
      "workspace_in_use",
      `version ${version.seq} was not restored: the workspace is in use, and at version ${latest?.seq ?? 0} in place of ${newest.seq} by now; look at its versions, and ask again`,
    );
  }
  const parent = await openKey(deps, call, { signal });
  const { image, diskBytes } = parent.manifest;
  await using writer = createVersionWriter({ store, lease, clock, limitMs }, { parent, image, diskBytes });
  const keep = (versions: readonly HeadVersion[]) => keptVersions(versions, clock.now());
  return (await writer.publish({ reason: "restore", keep, signal })).version;
}

/** The newest version is what this call has made, of which its caller was not told. */
async function isDone(
  deps: PublishDeps,
  call: RestoreCall,
  { lease, signal }: { readonly lease: Lease; readonly signal: AbortSignal },
): Promise<boolean> {
  const [before, latest] = lease.head.versions.slice(-2);
  if (latest?.reason !== "restore" || before?.sha256 !== call.newest.sha256) return false;
  const { manifest } = await openKey(deps, { ...call, version: latest }, { signal });
  return manifest.parent?.sha256 === call.version.sha256;
}
