import { AppError } from "@mags/core";
import type { FileChange, NodeRuntime } from "@mags/domain";
import { listVersions } from "./find-base.ts";
import type { Workspace } from "./workspace.ts";

export interface DiffRequest {
  readonly before: number;
  /** Undefined: the latest. */
  readonly after: number | undefined;
  readonly limit: number;
  /** Path of a change, to go on behind it. */
  readonly from: string | null;
  readonly signal: AbortSignal;
}

export interface WorkspaceDiff {
  readonly after: number;
  readonly changes: readonly FileChange[];
  readonly more: boolean;
}

const DIFF_MS = 60_000;

/** @throws AppError `version_not_found`; `unavailable` when it takes too long, or the object store is away. */
export async function diffWorkspace(
  deps: { readonly node: NodeRuntime },
  workspace: Workspace,
  { before, after, limit, from, signal }: DiffRequest,
): Promise<WorkspaceDiff> {
  const { id: workspaceId, accountId, name } = workspace;
  const versions = await listVersions(deps, workspace);
  const find = (seq: number | undefined) => {
    const found = seq === undefined ? versions.at(-1) : versions.find((kept) => kept.seq === seq);
    if (found) return found;
    throw new AppError(
      "version_not_found",
      `there is no version ${seq ?? "yet"} of workspace ${name}: see mags workspace versions ${name}`,
    );
  };
  const [old, now] = [find(before), find(after)];
  const late = AbortSignal.timeout(DIFF_MS);
  const options = { before: old, after: now, limit, from, signal: AbortSignal.any([signal, late]) };
  try {
    const { changes, more } = await deps.node.diffVersions({ accountId, workspaceId }, options);
    return { after: now.seq, changes, more };
  } catch (error) {
    if (!late.aborted) throw error;
    throw new AppError(
      "unavailable",
      `versions ${old.seq} and ${now.seq} of workspace ${name} were not compared within ${DIFF_MS / 1000} s: try again, what was read is kept`,
      { cause: error },
    );
  }
}
