/** The start of a job, from its place at the gate to its running script. */
import { AppError, type Clock, type Gate, isAppError, type Logger, messageOf, untilAborted } from "@mags/core";
import type { JobStart, JobUpdate, UploadSource } from "@mags/domain";
import type { AgentConnection, AgentStream } from "../agent/index.ts";
import type { Image } from "../images/image.ts";
import type { ImageSource } from "../images/image-source.ts";
import type { LogStore } from "../logs/log-store.ts";
import { explainLoss } from "../microvm/explain-loss.ts";
import type { Egress } from "../network/egress.ts";
import { type AcquireDeps, type Acquired, acquireMicroVm, ensureTemplate, isPooled } from "./acquire.ts";
import { KILL_AFTER_MS } from "./await-end.ts";
import type { EgressWatch } from "./egress-watch.ts";
import { explainLostVersion } from "./explain-lost-version.ts";
import { explainStore } from "./explain-store.ts";
import type { JobEntry, RunningJob } from "./job-entry.ts";
import { type Output, openOutput } from "./output.ts";
import { placeUploads, UPLOADS_FOLDER } from "./place-uploads.ts";
import { fetchScript } from "./script-source.ts";
import { HOST_DISK_FULL } from "./shortage.ts";

export interface LaunchDeps extends AcquireDeps {
  readonly logs: LogStore;
  readonly egress: Egress;
  readonly egressWatch: EgressWatch;
  readonly images: Pick<ImageSource, "hold">;
  readonly uploads: UploadSource;
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
/** When so many microVMs that were made for one job died before its script was sent, it is not by chance. */
const MAX_LOST = 3;
export const SIGTERM = 15;
export const SIGKILL = 9;

/**
 * Gives the job a microVM and sends its script. Before that it calls `beforeScript` when the microVM shall be a sandbox's. What was taken is on the entry, for the caller to release, also when
 * this rejects.
 */
export async function launchJob(
  deps: LaunchDeps,
  entry: JobEntry,
  job: JobStart,
  beforeScript: (acquired: Acquired, image: Image) => Promise<void> = async () => {},
): Promise<RunningJob> {
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

  // From here on the content stays; later the microVM made from it keeps it.
  const wanted = { name: job.size.image, from: job.sandbox?.from ?? null };
  const onFetch = () => note("image_fetch", { image: job.size.image });
  const holding = deps.images.hold(wanted, { signal, onFetch });
  using hold = await holding.catch((error: unknown) => {
    throw explainLostVersion(error, job.sandbox);
  });
  const { image } = hold;
  let leaveGate = () => {};
  const takenAtMs = nowMs();
  const opening = openOutput(
    deps.logs,
    { clock },
    {
      jobId,
      notBeforeMs: takenAtMs,
      onFirst: () => leaveGate(),
      onRecord: () => entry.sandbox?.touch(),
      onLimit: () => note("output_limit_reached"),
    },
  );
  opening.catch(() => {}); // awaited below, unless the start fails before
  try {
    if (!isPooled(job.size, { image, pooled: deps.pooledSize })) {
      const onBuild = () => note("template_build", { ...job.size });
      await untilAborted(ensureTemplate(deps, job.size, { image, onBuild }), signal);
    }
    leaveGate = await deps.gate.enter({ signal });
    entry.state = "starting";
    stage("admitted");
    const boundAtMs = nowMs();
    const acquired = await bindMicroVm(deps, entry, job, { image, boundAtMs });
    const { microVm, agent, ready, origin } = acquired;
    // A sandbox tells of its own, as it outlives the job.
    if (!job.sandbox) microVm.machine.onDiskFull(() => note(HOST_DISK_FULL.name, HOST_DISK_FULL.data));
    stage("bound");
    entry.output = await opening;

    if (job.sandbox?.from) leaveGate(); // from here on it waits for the object store, and others need not wait for that
    if (job.command.kind === "url") leaveGate(); // nor for its network
    if (job.fileIds.length > 0) leaveGate();
    if (job.sandbox) {
      await untilAborted(ready, microVm.gone);
      await beforeScript(acquired, image);
    }
    const opened = openScript(deps, { agent, gone: microVm.gone, job, output: entry.output, signal });
    const [stream] = await untilAborted(Promise.all([opened, ready]), microVm.gone);
    stage("script_started");

    entry.startedAtMs = nowMs();
    entry.state = "running";
    report({ type: "started", jobId, microVmId: microVm.id, startedAtMs: entry.startedAtMs, origin, stagesMs });
    const held = setTimeout(leaveGate, START_HOLD_MS);
    const onEnd = () => {
      clearTimeout(held);
      leaveGate();
    };
    void stream.ended.then(onEnd, onEnd);
    if (signal.aborted) stream.signal(SIGTERM);
    entry.running = { jobId, microVm, agent, stream, output: entry.output, startedAtBootMs: clock.bootMs() };
    return entry.running;
  } catch (error) {
    leaveGate();
    entry.output ??= await opening.catch(() => undefined);
    const { microVm } = entry;
    if (!microVm || !isAppError(error, "microvm_lost"))
      throw await explainStore(deps, job.sandbox?.from ?? null, error);
    const explained = await explainLoss(error, microVm);
    note("lost_at_start", { microVmId: microVm.id, reason: messageOf(explained) });
    throw explained;
  }
}

/**
 * Sends the files and the script of a job to its guest. The stream is attached to the output before the guest has answered.
 * @throws AppError `guest_failed` for people when the guest cannot start it.
 */
export async function openScript(
  deps: Pick<LaunchDeps, "uploads">,
  where: {
    readonly agent: AgentConnection;
    readonly gone: AbortSignal;
    readonly job: JobStart;
    readonly output: Output;
    readonly signal: AbortSignal;
  },
): Promise<AgentStream> {
  const { agent, gone, job, output, signal } = where;
  const script = job.command.kind === "inline" ? job.command.script : await fetchScript(agent, job, { signal });
  if (job.fileIds.length > 0)
    await placeUploads(agent, deps.uploads, job.fileIds, { signal: AbortSignal.any([signal, gone]) });
  signal.throwIfAborted();
  const stream = agent.open({
    kind: "exec",
    script,
    ...(job.fileIds.length > 0 && { cwd: UPLOADS_FOLDER }),
    environment: job.environment,
    window: OUTPUT_WINDOW_BYTES,
    key: Buffer.from(job.jobId),
    keep: true,
    once: true,
    ...(job.timeoutMs === null ? {} : { timeoutMs: job.timeoutMs, killAfterMs: KILL_AFTER_MS }),
    onRecord: output.receive,
  });
  output.attach(stream);
  const opened = stream.opened.catch((error: unknown) => {
    throw explainOpening(error, script);
  });
  await untilAborted(opened, gone);
  return stream;
}

/**
 * A microVM with the binding to the job on stable storage and the job's egress policy in force. A parked clone may have
 * died unseen, and one that is made for the job may die under way; as nothing was asked of its guest yet, another takes
 * its place.
 */
async function bindMicroVm(
  deps: LaunchDeps,
  entry: JobEntry,
  job: JobStart,
  options: { readonly image: Image; readonly boundAtMs: number },
): Promise<Acquired> {
  const { host, clock, log, egress, egressWatch } = deps;
  const { jobId, size, timeoutMs } = job;
  const { boundAtMs } = options;
  for (let lost = 0; ; ) {
    let acquired: Acquired | undefined;
    let binding: Promise<void> | undefined;
    try {
      const { image } = options;
      const { id, from = null } = job.sandbox ?? {};
      const standing = id && from ? { id, from, image } : undefined;
      acquired = await acquireMicroVm(deps, size, { image, from: standing });
      const { microVm, resumed } = acquired;
      entry.microVm = microVm;
      entry.microVmId = microVm.id;
      binding = host.bind(microVm, {
        ...{ jobId, size, boundAtMs, boundAtBootMs: clock.bootMs(), timeoutMs },
        ...(job.sandbox && { sandboxId: job.sandbox.id }),
      });
      await Promise.all([binding, resumed, egress.apply(microVm.index, size.egress)]);
      egressWatch.begin(jobId, microVm.index);
      return acquired;
    } catch (error) {
      const another = acquired?.origin !== undefined && acquired.origin !== "restored";
      if (!isAppError(error, "microvm_lost") || (!another && ++lost === MAX_LOST)) throw error;
      log.warn("job.microvm_was_dead", { jobId, microVmId: acquired?.microVm.id, error: messageOf(error) });
      await binding?.catch(() => {});
      entry.microVm = undefined;
      if (!acquired) continue;
      // Else a restart would find the job bound to two, and take the dead one's word for it.
      await host.unbind(acquired.microVm);
      await host.release(acquired.microVm);
    }
  }
}

/** A script whose first line names a program that the guest lacks cannot be run at all. */
function explainOpening(error: unknown, script: string): unknown {
  const interpreter = /^#!\s*(\S+)/.exec(script)?.[1];
  if (!interpreter || !isAppError(error, "guest_failed") || !error.message.includes("ENOENT")) return error;
  return new AppError("guest_failed", `the guest has no ${interpreter}, which the script's first line asks for`, {
    cause: error,
  });
}
