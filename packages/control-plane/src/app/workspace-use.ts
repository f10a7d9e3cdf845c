/** What becomes of a job whose workspace has a sandbox already. Decides and touches nothing. */
import type { JobId, MicroVmSize } from "@mags/domain";
import { type JobRequest, normalizedEgress } from "./new-job.ts";
import type { Sandbox } from "./sandbox.ts";

/** A job in a sandbox that has not ended. */
export interface JobInSandbox {
  readonly id: JobId;
  readonly name: string;
  readonly scriptOver: boolean;
  /** Its script only keeps the microVM alive. */
  readonly endless: boolean;
}

export type WorkspaceUse =
  /** It runs there: as the next owner, or beside what is there. `takesOver`: the owner that it follows. */
  | { readonly kind: "join"; readonly owns: boolean; readonly takesOver: JobId | null; readonly size: MicroVmSize }
  /** Scripts that run there stand in its way. */
  | { readonly kind: "busy"; readonly scripts: readonly JobInSandbox[] }
  /** It asks for another kind of microVM than there is. */
  | {
      readonly kind: "differs";
      readonly field: string;
      readonly has: string | number;
      readonly asked: string | number;
    };

export function planWorkspaceUse(
  job: { readonly request: JobRequest; readonly endless: boolean },
  sandbox: Sandbox,
  jobs: readonly JobInSandbox[],
): WorkspaceUse {
  const { request } = job;
  const difference = differenceOf(request, sandbox.size);
  if (difference) return { kind: "differs", ...difference };
  // What only keeps the microVM alive is in nobody's way but of another such.
  const scripts = jobs.filter(({ scriptOver, endless }) => !scriptOver && (job.endless || !endless));
  if (scripts.length > 0) return { kind: "busy", scripts };
  const owner = jobs.find(({ id }) => id === sandbox.ownerJobId);
  const owns = request.persistent && (owner?.scriptOver ?? true);
  return {
    kind: "join",
    owns,
    takesOver: owns ? (owner?.id ?? null) : null,
    size: {
      ...sandbox.size,
      diskGiB: Math.max(sandbox.size.diskGiB, request.diskGiB ?? 0),
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

/** Clients look for the words `already exists` and `in use`. */
export function inUseText(workspaceId: string, use: Exclude<WorkspaceUse, { readonly kind: "join" }>): string {
  const taken = `workspace ${workspaceId} already exists and is in use`;
  if (use.kind === "differs")
    return `${taken}: its VM has ${use.field} ${use.has}, not ${use.asked}: leave ${use.field} out, or end it first: mags stop ${workspaceId}`;
  const [first] = use.scripts;
  const more = use.scripts.length > 1 ? ` and ${use.scripts.length - 1} more` : "";
  return `${taken}: the script of job ${first?.name} (${first?.id})${more} runs in it: wait for its end, end it with mags stop ${workspaceId}, or put another in its place with --replace (replace: true)`;
}
