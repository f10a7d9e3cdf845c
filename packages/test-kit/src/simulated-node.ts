import { AppError, messageOf } from "@mags/core";
import type {
  ExecRequest,
  ExecResult,
  GuestId,
  JobEnd,
  JobId,
  JobStart,
  MicroVmId,
  NodeDescription,
  NodeRuntime,
  NodeUpdate,
  ObservedJob,
  SandboxId,
  WakeReason,
} from "@mags/domain";
import { createSimulatedExecs, type SimulatedExecs } from "./simulated-execs.ts";
import { createSimulatedFiles } from "./simulated-files.ts";
import { createSimulatedLog, type SimulatedLog } from "./simulated-log.ts";
import { runDirectives, type SimulatedProgram } from "./simulated-program.ts";
import { createSimulatedSandboxes, type SimulatedSandboxes } from "./simulated-sandboxes.ts";
import { createSimulatedSockets } from "./simulated-sockets.ts";
import { createSimulatedStore, type SimulatedStore } from "./simulated-store.ts";

export interface SimulatedNodeOptions {
  readonly program?: SimulatedProgram;
  readonly exec?: (request: ExecRequest, signal: AbortSignal) => Promise<ExecResult>;
  readonly description?: Partial<NodeDescription>;
  /** Folder that files of guests lie in; without it there are none. */
  readonly filesRoot?: string;
  /** Of all jobs together; those that do not fit wait. Default: more than any test takes. */
  readonly memoryMiB?: number;
  /** Wall clock, milliseconds. */
  readonly nowMs?: () => number;
}

/** A node without microVMs: it keeps the promises of `NodeRuntime`, and breaks them on request. */
export interface SimulatedNode extends NodeRuntime, SimulatedSandboxes, SimulatedStore {
  /** What was last given to `start` for a job that it still has. */
  startOf(jobId: JobId): JobStart | undefined;
  /** Every job id given to `start`, repeats included. */
  readonly startCalls: readonly JobId[];
  readonly acknowledged: readonly JobId[];
  readonly execs: SimulatedExecs;
  /** Has no memory left until `release`: jobs stay queued. */
  hold(): void;
  release(): void;
  /** Loses jobs as if their microVMs and records had never been; their output stays. */
  forget(...jobIds: JobId[]): void;
  /** Ends a job as when its microVM dies. */
  breakVm(jobId: JobId, message: string): void;
  /** The control plane is gone: nobody hears what is reported from now on. */
  disconnect(): void;
}

const DESCRIPTION: NodeDescription = {
  accelerator: "tcg",
  acceleratorReason: "simulated",
  images: ["standard"],
  defaultVcpus: 2,
  maxVcpus: 4,
  defaultMemoryMiB: 1024,
  maxMemoryMiB: 8192,
  maxDiskGiB: 64,
};

interface Held {
  readonly job: JobStart;
  readonly stopping: AbortController;
  /** Settles when the job ended or was forgotten. */
  readonly gone: PromiseWithResolvers<void>;
  microVmId: MicroVmId | null;
  state: ObservedJob["state"];
  startedAtMs: number | null;
  end: JobEnd | null;
  hasMemory: boolean;
}

export function createSimulatedNode(options: SimulatedNodeOptions = {}): SimulatedNode {
  const nowMs = options.nowMs ?? Date.now;
  const program = options.program ?? runDirectives;
  const jobs = new Map<JobId, Held>();
  const logs = new Map<JobId, SimulatedLog>();
  const startCalls: JobId[] = [];
  const acknowledged: JobId[] = [];
  const waiting: Held[] = [];
  let listeners: ((update: NodeUpdate) => void)[] = [];
  const memoryMiB = options.memoryMiB ?? 1_000_000;
  let holding = false;
  let takenMiB = 0;
  const execs = createSimulatedExecs({ awaken: (guest) => awaken(guest, "exec") });

  const report = (update: NodeUpdate) => {
    for (const listener of listeners) listener(update);
  };

  const store = createSimulatedStore(nowMs);
  const sandboxes = createSimulatedSandboxes({
    nowMs,
    store,
    report,
    loseScripts(sandboxId, message) {
      for (const held of scriptsIn(sandboxId)) finish(held, { kind: "lost", message, endedAtMs: nowMs() });
    },
    async stopScripts(sandboxId) {
      await Promise.all(scriptsIn(sandboxId).map(stop));
    },
  });

  const scriptsIn = (sandboxId: SandboxId) =>
    [...jobs.values()].filter(({ job, end }) => job.sandbox?.id === sandboxId && end === null);

  async function stop(held: Held): Promise<void> {
    held.stopping.abort();
    if (held.state === "queued")
      finish(held, { kind: "stopped", exitCode: null, durationMs: null, endedAtMs: nowMs() });
    await held.gone.promise;
  }

  /** The guest runs, or has been woken. */
  function awaken(guest: GuestId, reason: WakeReason): void {
    const held = jobs.get(guest as JobId);
    if (sandboxes.has(guest)) sandboxes.wakeFor(guest as SandboxId, reason);
    else if (held?.state !== "running" || held.job.sandbox)
      throw new AppError("job_not_running", `${guest} is not running`);
  }

  function begin(held: Held): void {
    held.hasMemory = true;
    takenMiB += held.job.size.memoryMiB;
    setImmediate(run, held);
  }

  function giveBack(held: Held): void {
    const at = waiting.indexOf(held);
    if (at >= 0) waiting.splice(at, 1);
    if (held.hasMemory) takenMiB -= held.job.size.memoryMiB;
    held.hasMemory = false;
    admitWaiting();
  }

  function admitWaiting(): void {
    for (let [next] = waiting; next && !holding && fits(next.job); [next] = waiting) {
      waiting.shift();
      begin(next);
    }
  }

  const fits = ({ size }: JobStart) => takenMiB + size.memoryMiB <= memoryMiB;

  function finish(held: Held, end: JobEnd): void {
    if (held.end !== null || jobs.get(held.job.jobId) !== held) return;
    held.end = end;
    held.state = "ended";
    logs.get(held.job.jobId)?.end();
    held.gone.resolve();
    execs.endAll(held.job.jobId);
    report({ type: "ended", jobId: held.job.jobId, end });
    giveBack(held);
  }

  async function run(held: Held): Promise<void> {
    const { job } = held;
    if (held.end !== null || jobs.get(job.jobId) !== held) return;
    const startedAtMs = nowMs();
    const log = createSimulatedLog(nowMs);
    try {
      held.microVmId = sandboxes.enter(job);
    } catch (error) {
      return finish(held, { kind: "failed", message: messageOf(error), endedAtMs: nowMs() });
    }
    logs.set(job.jobId, log);
    held.startedAtMs = startedAtMs;
    held.state = "running";
    const { microVmId } = held;
    report({ type: "started", jobId: job.jobId, microVmId, startedAtMs, origin: "slot", stagesMs: { total: 1 } });
    try {
      const exitCode = await program({
        job,
        signal: held.stopping.signal,
        stdout: (bytes) => log.append("stdout", bytes),
        stderr: (bytes) => log.append("stderr", bytes),
        system: (text) => log.append("system", text),
        note: (name, data) => report({ type: "note", jobId: job.jobId, name, atMs: nowMs(), data }),
      });
      const ended = { exitCode, durationMs: nowMs() - startedAtMs, endedAtMs: nowMs() };
      finish(
        held,
        held.stopping.signal.aborted ? { kind: "stopped", ...ended } : { kind: "exited", timedOut: false, ...ended },
      );
    } catch (error) {
      finish(held, { kind: "failed", message: messageOf(error), endedAtMs: nowMs() });
    }
  }

  return {
    ...store,
    ...sandboxes,
    startOf: (jobId) => jobs.get(jobId)?.job,
    startCalls,
    acknowledged,
    describe: () => ({ ...DESCRIPTION, ...options.description }),
    poolStatus: () => ({
      ...{ idle: 3, busy: jobs.size - waiting.length, minIdle: 3, max: 0, queued: waiting.length },
      ...{ awaitingMemory: waiting.length, freeMemoryMiB: holding ? 0 : memoryMiB - takenMiB },
    }),

    start(job) {
      startCalls.push(job.jobId);
      if (jobs.has(job.jobId)) return;
      const held: Held = {
        job,
        stopping: new AbortController(),
        gone: Promise.withResolvers(),
        microVmId: null,
        state: "queued",
        startedAtMs: null,
        end: null,
        hasMemory: false,
      };
      jobs.set(job.jobId, held);
      // What runs in a sandbox that exists takes no more memory.
      if (job.sandbox?.exists) return void setImmediate(run, held);
      waiting.push(held);
      admitWaiting();
    },

    observe: () =>
      [...jobs.values()].map(({ job, microVmId, state, startedAtMs, end }) => ({
        jobId: job.jobId,
        microVmId,
        state,
        startedAtMs,
        end,
      })),

    async stop(jobId) {
      const held = jobs.get(jobId);
      if (held && held.end === null) await stop(held);
    },

    async acknowledge(jobId) {
      acknowledged.push(jobId);
      if (jobs.get(jobId)?.end) jobs.delete(jobId);
    },

    async exec(guest, request, { signal }) {
      awaken(guest, "exec");
      if (options.exec) return options.exec(request, signal);
      const stdout = Buffer.from(`${request.command}\n`);
      return { exitCode: 0, stdout, stderr: Buffer.alloc(0), timedOut: false, truncated: false };
    },

    files: createSimulatedFiles(options.filesRoot ?? "/nonexistent", (guest) => awaken(guest, "files")),
    execs,
    ...createSimulatedSockets({ awaken: (guest) => awaken(guest, "connection") }),
    startExec: execs.startExec,
    attachExec: execs.attachExec,

    async openLog(jobId, onChange) {
      const log = logs.get(jobId);
      if (!log) throw new AppError("job_not_found", `there is no output of job ${jobId}`);
      return log.tail(onChange);
    },

    onUpdate(listener) {
      listeners.push(listener);
    },

    hold() {
      holding = true;
    },
    release() {
      holding = false;
      admitWaiting();
    },
    forget(...jobIds) {
      for (const jobId of jobIds) {
        const held = jobs.get(jobId);
        held?.gone.resolve();
        jobs.delete(jobId);
        if (held) giveBack(held);
      }
    },
    breakVm(jobId, message) {
      const held = jobs.get(jobId);
      if (held) finish(held, { kind: "failed", message, endedAtMs: nowMs() });
    },
    disconnect() {
      listeners = [];
      execs.endAll();
    },
  };
}
