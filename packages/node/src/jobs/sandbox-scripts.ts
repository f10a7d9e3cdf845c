/**
 * Scripts that run in sandboxes: each outlives the connection to its guest, sleeps with it, and goes on. What it printed
 * and how it ended is kept by the agent until it is stored here.
 */
import { type Clock, messageOf } from "@mags/core";
import type { JobEnd, JobId, JobStart, JobUpdate, SandboxId, UploadSource } from "@mags/domain";
import type { AgentStream } from "../agent/index.ts";
import type { StreamOwner } from "../guests/guests.ts";
import type { LogStore } from "../logs/log-store.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import type { ScriptRecord } from "../sandboxes/sandbox-record.ts";
import { fromStreamEnd, KILL_AFTER_MS, outputFailed } from "./await-end.ts";
import type { JobEntry } from "./job-entry.ts";
import { openScript, SIGKILL, SIGTERM } from "./launch.ts";
import { type Output, openOutput } from "./output.ts";

export interface SandboxScriptsDeps {
  readonly logs: LogStore;
  readonly uploads: UploadSource;
  readonly clock: Clock;
  readonly report: (update: JobUpdate) => void;
}

export interface SandboxScripts extends StreamOwner {
  /** Starts a script in a sandbox that exists, after waking it. @returns how it ended. */
  run(entry: JobEntry, job: JobStart, sandbox: Sandbox): Promise<JobEnd>;
  /** Takes a script over that was just started. @returns how it ended. */
  attend(entry: JobEntry, sandbox: Sandbox, stream: AgentStream): Promise<JobEnd>;
  /**
   * Takes up a script of an earlier process, before its guest is connected. @returns how it ended; undefined when it turns
   * out that it never started.
   */
  restore(
    entry: JobEntry,
    sandbox: Sandbox,
    script: ScriptRecord,
  ): Promise<{ readonly over: Promise<JobEnd | undefined> }>;
  /** SIGTERM, and SIGKILL after 10 s. Wakes its sandbox for it. */
  end(jobId: JobId): Promise<void>;
  /** Its end is stored: the guest may forget it. */
  forget(jobId: JobId): void;
  /** SIGTERM to all that run in an awake sandbox. */
  terminateAll(sandboxId: SandboxId): void;
}

interface Script {
  readonly entry: JobEntry;
  readonly sandbox: Sandbox;
  readonly output: Output;
  readonly over: PromiseWithResolvers<JobEnd | undefined>;
  stream: AgentStream | null;
  kill: NodeJS.Timeout | undefined;
}

export function createSandboxScripts(deps: SandboxScriptsDeps): SandboxScripts {
  const { logs, clock, report } = deps;
  const scripts = new Map<JobId, Script>();
  const nowMs = () => clock.now().getTime();

  function take(entry: JobEntry, sandbox: Sandbox, output: Output): Script {
    const over = Promise.withResolvers<JobEnd | undefined>();
    const script: Script = { entry, sandbox, output, over, stream: null, kill: undefined };
    scripts.set(entry.jobId, script);
    output.failed.catch((error: unknown) => {
      script.stream?.close();
      over.resolve(outputFailed(messageOf(error), nowMs()));
    });
    return script;
  }

  function attach(script: Script, stream: AgentStream): void {
    script.stream = stream;
    script.output.attach(stream);
    stream.ended.then(
      (end) => script.over.resolve(fromStreamEnd(end, nowMs())),
      () => {}, // its guest sleeps, or is gone: then `ended` is called
    );
  }

  async function untilOver(script: Script): Promise<JobEnd | undefined> {
    const end = await script.over.promise;
    clearTimeout(script.kill);
    return end;
  }

  const of = (id: SandboxId) => [...scripts.values()].filter(({ sandbox }) => sandbox.id === id);

  function open(entry: JobEntry, sandbox: Sandbox, notBeforeMs: number): Promise<Output> {
    const { jobId } = entry;
    const onLimit = () => report({ type: "note", jobId, name: "output_limit_reached", atMs: nowMs(), data: {} });
    return openOutput(logs, { clock }, { jobId, notBeforeMs, onFirst: () => {}, onRecord: sandbox.touch, onLimit });
  }

  return {
    async run(entry, job, sandbox) {
      const { jobId, keepsAwake } = job;
      const { signal } = entry.stopping;
      const beganMs = clock.monotonicMs();
      const startedAtMs = nowMs();
      const script = await sandbox.use(
        "script",
        async ({ agent, gone }) => {
          entry.state = "starting";
          entry.output = await open(entry, sandbox, startedAtMs);
          // Durable before it is sent: a restart asks the agent what became of it.
          await sandbox.beginScript({ jobId, startedAtMs, keepsAwake });
          const taken = take(entry, sandbox, entry.output);
          attach(taken, await openScript(deps, { agent, gone, job, output: entry.output, signal }));
          return taken;
        },
        { signal },
      );
      entry.microVmId = sandbox.record.microVmId;
      entry.startedAtMs = startedAtMs;
      entry.state = "running";
      const stagesMs = { script_started: Math.round((clock.monotonicMs() - beganMs) * 10) / 10 };
      const { microVmId } = entry;
      report({ type: "started", jobId, microVmId, startedAtMs, origin: "sandbox", stagesMs });
      return (await untilOver(script)) as JobEnd;
    },

    async attend(entry, sandbox, stream) {
      if (!entry.output) throw new Error("its output was not opened");
      const script = take(entry, sandbox, entry.output);
      attach(script, stream);
      return (await untilOver(script)) as JobEnd;
    },

    async restore(entry, sandbox, { startedAtMs }) {
      entry.output = await open(entry, sandbox, startedAtMs);
      entry.startedAtMs = startedAtMs;
      entry.microVmId = sandbox.record.microVmId;
      entry.state = "running";
      return { over: untilOver(take(entry, sandbox, entry.output)) };
    },

    async end(jobId) {
      const script = scripts.get(jobId);
      if (!script) return;
      const { signal } = new AbortController();
      const signalIt = (signo: number) =>
        script.sandbox.use("script", async () => script.stream?.signal(signo), { signal }).catch(() => {}); // gone: over
      await signalIt(SIGTERM);
      clearTimeout(script.kill);
      script.kill = setTimeout(() => void signalIt(SIGKILL), KILL_AFTER_MS);
    },

    forget(jobId) {
      scripts.get(jobId)?.stream?.close();
      scripts.delete(jobId);
    },

    terminateAll(sandboxId) {
      for (const script of of(sandboxId)) if (script.sandbox.awake) script.stream?.signal(SIGTERM);
    },

    connected({ id, agent }) {
      for (const script of of(id as SandboxId)) {
        const kept = agent.kept.find(({ key }) => key.toString() === script.entry.jobId);
        if (!kept) {
          // It is in the record and the guest has never heard of it: nobody has run it.
          if (script.stream === null) script.over.resolve(undefined);
          continue;
        }
        try {
          const fromSeq = script.output.resumeAt(kept.acked);
          attach(script, agent.resume(kept, { fromSeq, onRecord: script.output.receive }));
        } catch (error) {
          script.over.resolve(outputFailed(messageOf(error), nowMs()));
        }
      }
    },
    suspended() {},
    told() {},
    async settle() {}, // output is synced before it is acknowledged
    ended(id, reason) {
      for (const { over } of of(id as SandboxId))
        over.resolve({ kind: "lost", message: `the VM was lost: ${reason}`, endedAtMs: nowMs() });
    },
  };
}
