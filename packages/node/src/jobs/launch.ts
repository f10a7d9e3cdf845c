/** The start of a job, from its place at the gate to its running script. */
import { AppError, type Clock, type Gate, type Logger } from "@mags/core";
import type { JobStart, JobUpdate } from "@mags/domain";
import type { LogStore } from "../logs/log-store.ts";
import { type AcquireDeps, acquireMicroVm } from "./acquire.ts";
import { KILL_AFTER_MS } from "./await-end.ts";
import type { JobEntry, RunningJob } from "./job-entry.ts";
import { openOutput } from "./output.ts";
import { fetchScript } from "./script-source.ts";

export interface LaunchDeps extends AcquireDeps {
  readonly logs: LogStore;
  /** Starts under way at a time: about as many as there are processors, first come, first served. */
  readonly gate: Gate;
  readonly clock: Clock;
  readonly log: Logger;
  readonly report: (update: JobUpdate) => void;
}

/** The agent keeps this much output that is not durable yet; then it stops reading from the script. */
export const OUTPUT_WINDOW_BYTES = 4 * 1024 * 1024;
/** A start holds its place until the script printed, ended, or had this long. */
const START_HOLD_MS = 100;

/**
 * Gives the job a microVM and sends its script. What was taken is on the entry, for the caller to release, also when
 * this rejects.
 */
export async function launchJob(deps: LaunchDeps, entry: JobEntry, job: JobStart): Promise<RunningJob> {
  const { clock, report } = deps;
  const { jobId } = entry;
  const { signal } = entry.stopping;
  const nowMs = () => clock.now().getTime();
  const note = (name: string, data: Readonly<Record<string, unknown>> = {}) =>
    report({ type: "note", jobId, name, atMs: nowMs(), data });
  const startedAt = clock.monotonicMs();
  const stagesMs: Record<string, number> = {};
  const stage = (name: string) => {
    stagesMs[name] = Math.round((clock.monotonicMs() - startedAt) * 10) / 10;
  };

  const leaveGate = await deps.gate.enter({ signal });
  try {
    entry.state = "starting";
    stage("admitted");
    const acquired = await acquireMicroVm(deps, job.size, {
      onTemplateBuild: () => note("template_build", { ...job.size }),
    });
    const { microVm, agent, ready, origin } = acquired;
    entry.microVm = microVm;
    entry.microVmId = microVm.id;
    stage("acquired");

    const boundAtMs = nowMs();
    const binding = deps.host.update(microVm, {
      disk: { diskGiB: job.size.diskGiB },
      state: {
        kind: "bound",
        jobId,
        size: job.size,
        boundAtMs,
        boundAtBootMs: clock.bootMs(),
        timeoutMs: job.timeoutMs,
      },
    });
    entry.output = await openOutput(
      deps.logs,
      { clock },
      {
        jobId,
        notBeforeMs: boundAtMs,
        onFirst: leaveGate,
        onLimit: () => note("output_limit_reached"),
      },
    );
    await binding;
    stage("bound");

    const script = job.command.kind === "inline" ? job.command.script : await fetchScript(acquired, job, { signal });
    signal.throwIfAborted();
    const stream = agent.open({
      kind: "exec",
      script,
      environment: job.environment,
      window: OUTPUT_WINDOW_BYTES,
      key: Buffer.from(jobId),
      keep: true,
      once: true,
      ...(job.timeoutMs === null ? {} : { timeoutMs: job.timeoutMs, killAfterMs: KILL_AFTER_MS }),
      onRecord: entry.output.receive,
    });
    entry.output.attach(stream);
    await Promise.race([Promise.all([ready, stream.opened]), microVm.lost.then(throwLost)]);
    stage("script_started");

    entry.startedAtMs = nowMs();
    entry.state = "running";
    report({ type: "started", jobId, microVmId: microVm.id, startedAtMs: entry.startedAtMs, origin, stagesMs });
    setTimeout(leaveGate, START_HOLD_MS);
    entry.running = { jobId, microVm, agent, stream, output: entry.output, startedAtMs: entry.startedAtMs };
    return entry.running;
  } catch (error) {
    leaveGate();
    throw error;
  }
}

function throwLost(reason: string): never {
  throw new AppError("microvm_lost", `the VM was lost: ${reason}`);
}
