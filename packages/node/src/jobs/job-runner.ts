/**
 * Runs jobs on this node: queue, microVM, script, output, end. States: queued → starting → running → ended, and forgotten when the
 * control plane has stored the end. Invariants: the binding of a job to its microVM is durable before its script is
 * sent, and the agent refuses a second script with the same key, so a script starts at most once.
 */
import { AppError, diskFullError, isAppError, messageOf, sleep } from "@mags/core";
import type { JobEnd, JobId, JobStart, ObservedJob, SandboxId } from "@mags/domain";
import { type Guests, guestOf } from "../guests/guests.ts";
import { isOfFullDisk } from "../host/is-shortage.ts";
import type { FoundRecord } from "../microvm/record.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { Sandboxes } from "../sandboxes/sandboxes.ts";
import { letGo } from "./acquire.ts";
import { awaitEnd, outputFailed } from "./await-end.ts";
import type { Capacity } from "./capacity.ts";
import { createJobEntry, type JobEntry, observed, type RunningJob } from "./job-entry.ts";
import { type LaunchDeps, launchJob, SIGTERM } from "./launch.ts";
import type { OutcomeStore } from "./outcome-store.ts";
import { type BoundRecord, isBound, readoptJob } from "./readopt.ts";
import { createSandboxScripts } from "./sandbox-scripts.ts";
import { HOST_DISK_FULL } from "./shortage.ts";

export interface JobRunnerDeps extends LaunchDeps {
  readonly guests: Guests;
  readonly sandboxes: Sandboxes;
  readonly outcomes: OutcomeStore;
  readonly capacity: Capacity;
  /** Of the node: named to people when there is no room in it. */
  readonly dataDirectory: string;
}

export interface JobRunner extends AsyncDisposable {
  start(job: JobStart): void;
  stop(jobId: JobId): Promise<void>;
  /** Ends a sandbox and the scripts in it: SIGTERM, and 2 s later its microVM. */
  releaseSandbox(id: SandboxId, options: { readonly reason: string; readonly discard?: boolean }): Promise<void>;
  acknowledge(jobId: JobId): Promise<void>;
  observe(): readonly ObservedJob[];
  /** Goes on with what an earlier process left: microVMs bound to jobs, and ends that were not acknowledged. */
  resume(found: readonly FoundRecord[]): Promise<void>;
  /** MicroVMs in use. */
  readonly busy: number;
  readonly waiting: number;
  /** Jobs that run or wait in an image of that name. */
  jobsIn(image: string): readonly JobId[];
}

const STOP_GRACE_MS = 2_000;
const KILLED_EXIT_CODE = 137;

export function createJobRunner(deps: JobRunnerDeps): JobRunner {
  const { host, logs, outcomes, capacity, gate, guests, sandboxes, clock, log, report } = deps;
  const scripts = createSandboxScripts(deps);
  guests.addOwner(scripts);
  const entries = new Map<JobId, JobEntry>();
  /** True once this process gives its jobs up: they run on, and the next process takes them over. */
  let leaving = false;
  const nowMs = () => clock.now().getTime();

  async function run(entry: JobEntry, job: JobStart): Promise<void> {
    let giveBack = () => {};
    let end: JobEnd;
    try {
      const existing = job.sandbox && sandboxes.find(job.sandbox.id);
      if (existing) {
        entry.sandbox = existing;
        end = await scripts.run(entry, job, existing);
      } else {
        if (job.sandbox?.exists) throw new AppError("job_not_running", "its sandbox is not there any more");
        giveBack = await capacity.reserve(job.size.memoryMiB, { signal: entry.stopping.signal });
        if (job.sandbox) end = await runInNewSandbox(entry, job, giveBack);
        else {
          const running = await launchJob(deps, entry, job);
          openToGuests(running);
          end = await awaitEnd(deps, running, job.timeoutMs);
        }
      }
    } catch (error) {
      if (!isAppError(error) && !entry.stopping.signal.aborted)
        log.error("job.start_failed", { jobId: entry.jobId, error: messageOf(error) });
      const reason = messageOf(isOfFullDisk(error) ? diskFullError(deps.dataDirectory) : error);
      end = { kind: "failed", message: `the job could not be started: ${reason}`, endedAtMs: nowMs() };
    }
    await settle(entry, end, giveBack);
  }

  /** The microVM is the sandbox's before the script is sent; when that cannot be started there is no sandbox. */
  async function runInNewSandbox(entry: JobEntry, job: JobStart, giveBack: () => void): Promise<JobEnd> {
    let sandbox: Sandbox | undefined;
    try {
      const running = await launchJob(deps, entry, job, async ({ microVm, agent }, image) => {
        sandbox = await sandboxes.create(job, { awake: { microVm, agent }, giveBack, image });
        entry.sandbox = sandbox;
        entry.microVm = undefined;
      });
      entry.running = undefined;
      if (!sandbox) throw new Error("no sandbox was made");
      return await scripts.attend(entry, sandbox, running.stream);
    } catch (error) {
      if (sandbox) await sandbox.release("its first script could not be started", { discard: true });
      else if (job.sandbox?.from) await letGo(deps, job.sandbox.id);
      throw error;
    }
  }

  /** From here on commands run in it, too. */
  function openToGuests({ jobId, agent, microVm }: RunningJob): void {
    const guest = { id: jobId, agent, gone: microVm.gone };
    guests.add(jobId, guestOf(guest));
    guests.connected(guest);
    microVm.machine.onDiskFull(() => guests.told(jobId, HOST_DISK_FULL.data.message));
  }

  const ranMs = ({ running }: JobEntry) => (running ? Math.round(clock.bootMs() - running.startedAtBootMs) : null);

  /** Makes the output durable, reports the end, keeps it for the control plane and releases the microVM. */
  async function settle(entry: JobEntry, scriptEnd: JobEnd, giveBack: () => void): Promise<void> {
    if (leaving) return;
    const { jobId, microVm, sandbox } = entry;
    guests.remove(jobId);
    guests.ended(jobId, "its job has ended");
    const failed = await closeOutput(entry);
    const knownEnd = failed === undefined || scriptEnd.kind === "failed" ? scriptEnd : outputFailed(failed, nowMs());
    const end = entry.stopping.signal.aborted ? asStopped(knownEnd, ranMs(entry)) : knownEnd;
    logs.close(jobId);
    entry.end = end;
    entry.state = "ended";
    report({ type: "ended", jobId, end });
    if (microVm) {
      const outcome = { jobId, microVmId: microVm.id, startedAtMs: entry.startedAtMs, end };
      const lastLook = async () => {
        await deps.egressWatch.end(jobId);
        deps.egress.forget(microVm.index);
      };
      for (const step of [() => outcomes.put(outcome), () => host.release(microVm, { lastLook })])
        await step().catch((error: unknown) => log.error("job.release_failed", { jobId, error: messageOf(error) }));
    }
    if (sandbox) await leaveSandbox(entry, sandbox, end);
    else giveBack();
    entry.microVm = undefined;
    entry.running = undefined;
    entry.released.resolve();
    deps.pool.nudge();
  }

  /** The end is kept before the guest and the sandbox's record forget the script. */
  async function leaveSandbox(
    { jobId, microVmId, startedAtMs }: JobEntry,
    sandbox: Sandbox,
    end: JobEnd,
  ): Promise<void> {
    try {
      if (microVmId !== null) await outcomes.put({ jobId, microVmId, startedAtMs, end }, { durably: true });
      await sandbox.endScript(jobId);
      scripts.forget(jobId);
    } catch (error) {
      log.error("job.leave_failed", { jobId, error: messageOf(error) });
    }
  }

  /** Scripts of an earlier process in a sandbox, before its guest is connected. */
  async function restoreScripts(sandbox: Sandbox): Promise<void> {
    for (const script of sandbox.record.scripts) {
      const { jobId } = script;
      if (entries.has(jobId)) {
        await sandbox.endScript(jobId); // how it ended is known
        continue;
      }
      const entry = createJobEntry({ jobId, size: sandbox.record.size, sandbox });
      entry.sandbox = sandbox;
      entries.set(jobId, entry);
      const { over } = await scripts.restore(entry, sandbox, script);
      void over.then(async (end) => {
        if (end) return settle(entry, end, () => {});
        entries.delete(jobId); // the control plane hands it over again
        await closeOutput(entry);
        await sandbox.endScript(jobId);
        scripts.forget(jobId);
      });
    }
  }

  /** Makes the output durable and closes it. @returns why that failed, nothing when it did not. */
  async function closeOutput({ jobId, output }: JobEntry): Promise<string | undefined> {
    let failure: string | undefined;
    for (const step of [() => output?.end(), () => output?.[Symbol.asyncDispose]()]) {
      try {
        await step();
      } catch (error) {
        failure ??= messageOf(error);
        log.error("job.log_failed", { jobId, error: messageOf(error) });
      }
    }
    return failure;
  }

  /** Resolves when it is clear what became of the job; a job that runs on is waited for in the background. */
  async function readopt(found: BoundRecord): Promise<void> {
    const { jobId, size } = found.binding;
    const entry = createJobEntry({ jobId, size });
    entries.set(jobId, entry);
    logs.announce(jobId);
    const giveBack = capacity.take(size.memoryMiB);
    const result = await readoptJob(deps, entry, found);
    if (leaving) return;
    if (result.kind === "running") {
      openToGuests(result.job);
      void awaitEnd(deps, result.job, result.remainingMs).then((end) => settle(entry, end, giveBack));
      return;
    }
    if (result.kind === "never-started") entries.delete(jobId);
    else await settle(entry, { kind: "failed", message: result.message, endedAtMs: nowMs() }, giveBack);
    giveBack();
    await host.discard(found.record);
  }

  return {
    start(job) {
      if (entries.has(job.jobId)) return;
      const entry = createJobEntry(job);
      entries.set(job.jobId, entry);
      logs.announce(job.jobId);
      void run(entry, job);
    },

    async stop(jobId) {
      const entry = entries.get(jobId);
      if (!entry) return;
      entry.stopping.abort(new AppError("job_not_running", "the job was stopped"));
      if (entry.sandbox) await scripts.end(jobId);
      entry.running?.stream.signal(SIGTERM);
      const timer = setTimeout(() => entry.microVm?.declareLost("the job was stopped"), STOP_GRACE_MS);
      await entry.released.promise;
      clearTimeout(timer);
    },

    async releaseSandbox(id, { reason, discard = false }) {
      // Also those that are about to make it, or to come into it.
      const inside = [...entries.values()].filter((entry) => entry.sandboxId === id && entry.state !== "ended");
      for (const { stopping } of inside) stopping.abort(new AppError("job_not_running", "the sandbox was stopped"));
      scripts.terminateAll(id);
      const allOver = Promise.all(inside.map(({ released }) => released.promise));
      if (sandboxes.find(id)?.awake !== null) await Promise.race([allOver, sleep(STOP_GRACE_MS)]);
      for (const { microVm } of inside) microVm?.declareLost("the sandbox was stopped");
      await sandboxes.find(id)?.release(reason, { discard });
      await allOver;
      await sandboxes.find(id)?.release(reason, { discard }); // made in that moment
    },

    async acknowledge(jobId) {
      const entry = entries.get(jobId);
      if (entry && entry.state !== "ended") return;
      await entry?.released.promise;
      await outcomes.remove(jobId);
      entries.delete(jobId);
    },

    observe: () => [...entries.values()].map(observed),

    async resume(records) {
      for (const outcome of await outcomes.all()) {
        const entry = createJobEntry({ jobId: outcome.jobId, size: deps.pooledSize });
        entry.state = "ended";
        entry.microVmId = outcome.microVmId;
        entry.startedAtMs = outcome.startedAtMs;
        entry.end = outcome.end;
        entry.released.resolve();
        entries.set(outcome.jobId, entry);
      }
      const isOfSandbox = ({ binding }: FoundRecord) => binding?.sandboxId !== undefined;
      await sandboxes.resume(records.filter(isOfSandbox), restoreScripts);
      await Promise.all(
        records
          .filter((found) => !isOfSandbox(found))
          .filter(isBound)
          .map((found) => (entries.has(found.binding.jobId) ? host.discard(found.record) : readopt(found))),
      );
    },

    jobsIn: (image) =>
      [...entries.values()].filter((e) => e.state !== "ended" && e.size.image === image).map(({ jobId }) => jobId),
    get busy() {
      const own = [...entries.values()].filter(({ microVm }) => microVm !== undefined);
      return own.length + sandboxes.all().filter(({ awake }) => awake).length;
    },
    get waiting() {
      return gate.waiting + capacity.waiting;
    },

    async [Symbol.asyncDispose]() {
      leaving = true;
      for (const entry of entries.values()) {
        await entry.running?.agent[Symbol.asyncDispose]();
        await entry.microVm?.machine.qmp[Symbol.asyncDispose]();
        // What it has not stored comes again from the guest.
        if (entry.end === null) await closeOutput(entry);
      }
    },
  };
}

/** A script that did not end in time was killed, with its microVM if that was its own. @param ranMs  Null: it never ran. */
function asStopped(end: JobEnd, ranMs: number | null): JobEnd {
  const { endedAtMs } = end;
  if (end.kind === "exited") return { kind: "stopped", exitCode: end.exitCode, durationMs: end.durationMs, endedAtMs };
  return { kind: "stopped", exitCode: ranMs === null ? null : KILLED_EXIT_CODE, durationMs: ranMs, endedAtMs };
}
