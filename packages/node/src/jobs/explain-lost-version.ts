import { AppError, isAppError } from "@mags/core";
import type { SyncTarget, VersionRef } from "@mags/domain";

/**
 * The version that a disk was to begin as is not in the object store any more: another may be.
 * @param sandbox.syncTo  Names some workspaces. One that is not named is told by its id.
 * @returns the error that says so, with what helps; `error` where it is another.
 */
export function explainLostVersion(
  error: unknown,
  sandbox: { readonly from: VersionRef | null; readonly syncTo: SyncTarget | null } | null,
): unknown {
  if (!sandbox?.from || !isAppError(error, "version_not_found")) return error;
  const { from, syncTo } = sandbox;
  const named = [syncTo, syncTo?.forkedFrom].find((one) => one?.workspaceId === from.workspaceId)?.name;
  const what = `version ${from.version.seq} of workspace ${named ?? from.workspaceId} is lost in the object store`;
  const name = named ?? "NAME";
  return new AppError(
    "version_not_found",
    `${what}: see which there are with mags workspace versions ${name}, and go back to one: mags workspace restore ${name} --version N`,
    { cause: error },
  );
}
