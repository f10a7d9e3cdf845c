/** What becomes of a job whose workspace has a sandbox already. Decides and touches nothing. */
import type { JobId, MicroVmSize, SyncTarget, WorkspaceId } from "@mags/domain";
import { isTooSmall } from "./least-disk.ts";
import { type JobRequest, normalizedEgress } from "./new-job.ts";
import type { SandboxInUse } from "./sandbox-store.ts";
import type { BaseName } from "./workspace.ts";
import { isFromBase, otherBaseText, recordedBase, targetOf, wantsSync } from "./workspace-mode.ts";

/** A job in a sandbox that has not ended. */
export interface JobInSandbox {
  readonly id: JobId;
  readonly name: string;
  readonly scriptOver: boolean;
  /** Its script only keeps the microVM alive. */
  readonly endless: boolean;
}

export type WorkspaceUse =
  /**
   * It runs there: as the next owner, or beside what is there. `takesOver`: the owner that it follows. `promotesTo`: its
   * disk, local so far, becomes this workspace.
   */
  | {
      readonly kind: "join";
      readonly owns: boolean;
      readonly takesOver: JobId | null;
      readonly size: MicroVmSize;
      readonly promotesTo: SyncTarget | null;
    }
  /** What is there is a warm copy that is not synced, of a workspace that is: it goes, and the job opens the workspace. */
  | { readonly kind: "drop" }
  /** Such a copy, which is kept or in use. */
  | { readonly kind: "copy"; readonly jobs: readonly JobInSandbox[] }
  /** It names another base than the files there came from. */
  | { readonly kind: "other_base"; readonly has: BaseName | null; readonly asked: BaseName }
  /** Scripts that run there stand in its way. */
  | { readonly kind: "busy"; readonly scripts: readonly JobInSandbox[] }
  /** It asks for a smaller disk than there is. */
  | { readonly kind: "too_small"; readonly asked: number | null; readonly has: number }
  /** It asks for another kind of microVM than there is. */
  | {
      readonly kind: "differs";
      readonly field: string;
      readonly has: string | number;
      readonly asked: string | number;
    };

/** @param job.newId  Of the workspace that it begins, if it begins one. */
export function planWorkspaceUse(
  job: { readonly request: JobRequest; readonly endless: boolean; readonly newId: WorkspaceId },
  { sandbox, jobs, workspace }: SandboxInUse,
): WorkspaceUse {
  const { request } = job;
  const difference = differenceOf(request, sandbox.size);
  if (difference) return { kind: "differs", ...difference };
  const has = recordedBase(workspace, sandbox.from);
  if (request.base && !isFromBase(has, request.base)) return { kind: "other_base", has, asked: request.base };
  const promotes = wantsSync(request) && sandbox.syncsTo === null;
  const isCopy = promotes && workspace?.latest;
  const { diskGiB } = sandbox.size;
  if (!isCopy && isTooSmall(request.diskGiB, diskGiB))
    return { kind: "too_small", asked: request.diskGiB, has: diskGiB };
  // What only keeps the microVM alive is in nobody's way but of another such.
  const scripts = jobs.filter(({ scriptOver, endless }) => !scriptOver && (job.endless || !endless));
  if (scripts.length > 0) return { kind: "busy", scripts };
  if (isCopy) return sandbox.kept || jobs.length > 0 ? { kind: "copy", jobs } : { kind: "drop" };
  const owner = jobs.find(({ id }) => id === sandbox.ownerJobId);
  const owns = request.persistent && (owner?.scriptOver ?? true);
  return {
    kind: "join",
    owns,
    takesOver: owns ? (owner?.id ?? null) : null,
    promotesTo: promotes
      ? targetOf(request, { workspace, origin: sandbox.from }, { accountId: sandbox.accountId, newId: job.newId })
      : null,
    size: {
      ...sandbox.size,
      diskGiB: Math.max(diskGiB, request.diskGiB ?? 0),
      egress: request.egress === null ? sandbox.size.egress : normalizedEgress(request.egress),
    },
  };
}

function differenceOf({ image, vcpus, memoryMiB }: JobRequest, size: MicroVmSize) {
  const asked = [
    { field: "rootfs_type", has: size.image, asked: image },
    { field: "vcpus", has: size.vcpus, asked: vcpus },
    { field: "memory_mb", has: size.memoryMiB, asked: memoryMiB },
  ];
  for (const { field, has, asked: value } of asked)
    if (value !== null && value !== has) return { field, has, asked: value };
  return null;
}

/** Clients look for the words `already exists` and `in use`. `endless`: for a job that only keeps a VM alive. */
export function inUseText(
  workspaceId: string,
  use: Exclude<WorkspaceUse, { readonly kind: "join" | "drop" | "too_small" }>,
  { endless }: { readonly endless: boolean } = { endless: false },
): string {
  if (use.kind === "other_base") return otherBaseText(workspaceId, use.has, use.asked);
  const taken = `workspace ${workspaceId} already exists and is in use`;
  if (use.kind === "copy")
    return `${taken}: a copy of it that is not synced is open${byText(use.jobs)}: end it, and with it what changed there, then try again: mags stop ${workspaceId}`;
  if (use.kind === "differs")
    return `${taken}: its VM has ${use.field} ${use.has}, not ${use.asked}: leave ${use.field} out, or end it first: mags stop ${workspaceId}`;
  const [first] = use.scripts;
  const more = use.scripts.length > 1 ? ` and ${use.scripts.length - 1} more` : "";
  const script = `the script of job ${first?.name} (${first?.id})${more} runs in it`;
  // Who only wants a VM to be there puts nothing in another's place.
  if (endless) return `${taken}: ${script}: end it first: mags stop ${workspaceId}`;
  return `${taken}: ${script}: wait for its end, end it with mags stop ${workspaceId}, or put another in its place with --replace (replace: true)`;
}

function byText([first]: readonly JobInSandbox[]): string {
  return first ? `, for job ${first.name} (${first.id})` : "";
}
