import { AppError, isAppError } from "@mags/core";
import type { VersionRef } from "@mags/domain";
import type { Blocks } from "../workspaces/blocks.ts";

const ASK_MS = 5_000;

/**
 * A guest whose disk waits for the object store does not answer, and cannot say why.
 * @param from  What its disk stands on.
 * @returns the error that says so; `error` where the store can be read, or where it says more.
 */
export async function explainStore(
  { blocks }: { readonly blocks: Pick<Blocks, "call"> },
  from: VersionRef | null,
  error: unknown,
): Promise<unknown> {
  if (!from || !isAppError(error, "guest_failed")) return error;
  const key = { account: from.accountId, workspace: from.workspaceId };
  try {
    await blocks.call("versions", key, { signal: AbortSignal.timeout(ASK_MS) });
    return error;
  } catch (cause) {
    if (isAppError(cause, "workspace_not_found") || isAppError(cause, "store_corrupt")) return error;
    const message = "the object store is away: the files of the workspace cannot be read now; try again";
    return new AppError("unavailable", message, { cause });
  }
}
