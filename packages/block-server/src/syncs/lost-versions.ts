import { isAppError } from "@mags/core";
import { forEach, isForeign, type VersionName } from "@mags/workspace-store";

/** Versions that are opened at a time. */
const AT_ONCE = 8;

/** Why a version cannot be opened, now or later: the store has lost its manifest, or that is damaged. */
export const isLost = (error: unknown): boolean =>
  isAppError(error, "version_not_found") || (isAppError(error, "store_corrupt") && !isForeign(error));

/** @returns the digests of those that are lost. @throws what keeps that from being known. */
export async function lostOf(
  versions: readonly VersionName[],
  open: (version: VersionName) => Promise<unknown>,
  { signal }: { readonly signal: AbortSignal },
): Promise<ReadonlySet<string>> {
  const lost = new Set<string>();
  await forEach(versions, { width: AT_ONCE, signal }, async (version) => {
    try {
      await open(version);
    } catch (error) {
      if (!isLost(error)) throw error;
      lost.add(version.sha256);
    }
  });
  return lost;
}
