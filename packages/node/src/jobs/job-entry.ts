import type { JobEnd, JobId, JobStart, MicroVmSize, ObservedJob, SandboxId } from "@mags/domain";
import type { AgentConnection, AgentStream } from "../agent/index.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { Output } from "./output.ts";

/** A job whose script was sent. */
export interface RunningJob {
  readonly jobId: JobId;
  readonly microVm: MicroVm;
  readonly agent: AgentConnection;
  readonly stream: AgentStream;
  readonly output: Output;
  /** By the clock that is never stepped. */
  readonly startedAtBootMs: number;
}

/** What the node knows of one job, from its start until the end is acknowledged. */
export interface JobEntry {
  readonly jobId: JobId;
  readonly size: MicroVmSize;
  state: ObservedJob["state"];
  readonly sandboxId: SandboxId | null;
  /** Where its script runs, when that outlives the script. */
  sandbox: Sandbox | undefined;
  /** What must be released at the end; set as it comes into being. */
  microVm: MicroVm | undefined;
  output: Output | undefined;
  running: RunningJob | undefined;
  microVmId: ObservedJob["microVmId"];
  startedAtMs: number | null;
  end: JobEnd | null;
  /** Aborted by `stop`: waits for memory or a place end. */
  readonly stopping: AbortController;
  /** Resolves when the job ended and its microVM is gone. */
  readonly released: PromiseWithResolvers<void>;
}

export function createJobEntry(
  job: Pick<JobStart, "jobId" | "size"> & { readonly sandbox?: { readonly id: SandboxId } | null },
): JobEntry {
  return {
    jobId: job.jobId,
    size: job.size,
    state: "queued",
    sandboxId: job.sandbox?.id ?? null,
    sandbox: undefined,
    microVm: undefined,
    output: undefined,
    running: undefined,
    microVmId: null,
    startedAtMs: null,
    end: null,
    stopping: new AbortController(),
    released: Promise.withResolvers<void>(),
  };
}

export function observed(entry: JobEntry): ObservedJob {
  const { jobId, microVmId, state, startedAtMs, end } = entry;
  return { jobId, microVmId, state, startedAtMs, end };
}
