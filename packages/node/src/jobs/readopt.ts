/** Takes up a job whose microVM outlived an earlier process. */
import { type Clock, type Logger, messageOf } from "@mags/core";
import type { JobUpdate } from "@mags/domain";
import type { LogStore } from "../logs/log-store.ts";
import type { Binding } from "../microvm/binding.ts";
import { connectGuest } from "../microvm/guest.ts";
import type { MicroVmHost } from "../microvm/microvm-host.ts";
import type { FoundRecord, MicroVmRecord } from "../microvm/record.ts";
import type { EgressWatch } from "./egress-watch.ts";
import type { JobEntry, RunningJob } from "./job-entry.ts";
import { openOutput } from "./output.ts";
import { HOST_DISK_FULL } from "./shortage.ts";

/** A microVM that an earlier process bound to a job. */
export interface BoundRecord {
  readonly record: MicroVmRecord;
  readonly binding: Binding;
}

export function isBound(found: FoundRecord): found is BoundRecord {
  return found.binding !== null;
}

export type Readopted =
  | { readonly kind: "running"; readonly job: RunningJob; readonly remainingMs: number | null }
  /** The earlier process ended between binding and script: the job may be started anew, in another microVM. */
  | { readonly kind: "never-started" }
  /** For the user. */
  | { readonly kind: "lost"; readonly message: string };

export interface ReadoptDeps {
  readonly host: MicroVmHost;
  readonly logs: LogStore;
  readonly egressWatch: EgressWatch;
  readonly clock: Clock;
  readonly log: Logger;
  readonly report: (update: JobUpdate) => void;
}

/** What was taken is on the entry, for the caller to release. */
export async function readoptJob(deps: ReadoptDeps, entry: JobEntry, found: BoundRecord): Promise<Readopted> {
  const { host, clock, log } = deps;
  const { record, binding } = found;
  const { jobId, boundAtMs, boundAtBootMs, timeoutMs } = binding;
  entry.microVmId = record.id;
  entry.startedAtMs = boundAtMs;
  try {
    entry.microVm = await host.adopt(record);
  } catch (error) {
    log.info("job.adoption_failed", { jobId, microVmId: record.id, error: messageOf(error) });
    return { kind: "lost", message: "the VM was lost: its QEMU process ended while the server was away" };
  }
  const { microVm } = entry;
  const note = (name: string, data: Readonly<Record<string, unknown>> = {}) =>
    deps.report({ type: "note", jobId, name, atMs: clock.now().getTime(), data });
  microVm.machine.onDiskFull(() => note(HOST_DISK_FULL.name, HOST_DISK_FULL.data));
  const state = await microVm.machine.status();
  if (state === "paused") return { kind: "never-started" }; // it is bound before it is resumed
  if (state === "waiting")
    await microVm.machine.resume(); // nobody was there to try its write again
  else if (state !== "running")
    return { kind: "lost", message: `the VM was lost: the guest ${state} while the server was away` };
  try {
    const agent = await connectGuest(microVm, { log });
    const kept = agent.kept.find((stream) => stream.key.toString() === jobId);
    if (!kept) return { kind: "never-started" };
    entry.output = await openOutput(
      deps.logs,
      { clock },
      {
        jobId,
        notBeforeMs: boundAtMs,
        onFirst: () => {},
        onLimit: () => note("output_limit_reached"),
      },
    );
    const stream = agent.resume(kept, { fromSeq: entry.output.resumeAt(kept.acked), onRecord: entry.output.receive });
    entry.output.attach(stream);
    entry.state = "running";
    entry.running = { jobId, microVm, agent, stream, output: entry.output, startedAtBootMs: boundAtBootMs };
    deps.egressWatch.begin(jobId, record.index);
    log.info("job.adopted", { jobId, microVmId: record.id });
    const remainingMs = timeoutMs === null ? null : Math.max(0, timeoutMs - (clock.bootMs() - boundAtBootMs));
    return { kind: "running", job: entry.running, remainingMs };
  } catch (error) {
    return {
      kind: "lost",
      message: `the VM was lost: its guest agent did not answer after a restart of the server: ${messageOf(error)}`,
    };
  }
}
