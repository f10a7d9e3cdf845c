import { AppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import type { HeadVersion } from "./format/head.ts";
import type { WorkspaceKey } from "./keys.ts";
import { readHead } from "./lease.ts";
import { findVersions } from "./lost-head.ts";

export interface ListedVersions {
  /** By `seq`. */
  readonly versions: readonly HeadVersion[];
  /** They are what the next head will list: the last one is lost. */
  readonly isHeadLost: boolean;
}

/**
 * The versions of a workspace, also of one whose head is lost; that is not written anew.
 * @throws AppError `workspace_not_found`, also when it is deleted; `store_corrupt`.
 */
export async function listVersions(
  store: ObjectStore,
  key: WorkspaceKey,
  options: { readonly signal: AbortSignal },
): Promise<ListedVersions> {
  const stored = await readHead(store, key, options);
  const found = stored ? undefined : await findVersions(store, key, options);
  // A head is written before the first manifest: one that was not there may have come with what was found.
  const head = stored?.head ?? (found && found.manifests > 0 ? (await readHead(store, key, options))?.head : undefined);
  if (head?.state === "live") return { versions: head.versions, isHeadLost: false };
  if (head || !found || found.manifests === 0)
    throw new AppError("workspace_not_found", `the store has no workspace ${key.workspace}`);
  return { versions: found.versions, isHeadLost: true };
}
