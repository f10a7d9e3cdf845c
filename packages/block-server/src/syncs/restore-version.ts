/** Publishes an older version of a workspace as its newest. */
import { AppError } from "@mags/core";
import {
  createVersionWriter,
  type Head,
  type HeadVersion,
  isCompactionOf,
  keptVersions,
  type Lease,
  latestOf,
  type Manifest,
} from "@mags/workspace-store";
import type { RestoreCall } from "../calls.ts";
import { lostOf } from "./lost-versions.ts";
import { openKey, type PublishDeps } from "./publish-disk.ts";

/**
 * Versions that are lost or damaged are not listed any more: while they are, nothing of the account can be collected.
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
    const now = latest && (await openKey(deps, { ...call, version: latest }, { signal })).manifest;
    if (latest && now && isDone(now, lease.head, call)) return latest;
    if (!now || !isCompactionOf(now, newest))
      throw new AppError(
        "workspace_in_use",
        `version ${version.seq} was not restored: the workspace is in use, and at version ${latest?.seq ?? 0} in place of ${newest.seq} by now; look at its versions, and ask again`,
      );
  }
  const parent = await openKey(deps, call, { signal });
  const { image, diskBytes } = parent.manifest;
  await using writer = createVersionWriter({ store, lease, clock, limitMs }, { parent, image, diskBytes });
  const lost = await lostOf(lease.head.versions, (one) => openKey(deps, { ...call, version: one }, { signal }), {
    signal,
  });
  const keep = (versions: readonly HeadVersion[]) => keptVersions(versions.filter(({ sha256 }) => !lost.has(sha256)));
  return (await writer.publish({ reason: "restore", keep, signal })).version;
}

/** The newest version is what this call has made, of which its caller was not told: nothing but compactions came before it. */
function isDone({ reason, parent, seq }: Manifest, head: Head, { version, newest }: RestoreCall): boolean {
  if (reason !== "restore" || parent?.sha256 !== version.sha256) return false;
  return head.versions.every((one) => one.seq <= newest.seq || one.seq >= seq || one.reason === "compaction");
}
