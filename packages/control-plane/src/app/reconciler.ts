import { type Clock, type Logger, messageOf, sleep } from "@mags/core";
import type { JobId } from "@mags/domain";
import { type HandToSandboxDeps, handToSandbox } from "./hand-to-sandbox.ts";
import { lostOutcome, neverStarted, SCRIPT_LOST } from "./job-end.ts";
import type { JobQueue } from "./job-queue.ts";
import type { JobWriter } from "./job-writer.ts";
import { planReconcile, type ReconcileAction } from "./reconcile-plan.ts";
import type { SandboxReconciler } from "./reconcile-sandboxes.ts";
import type { WorkspaceWork } from "./reconcile-workspaces.ts";

export interface ReconcilerDeps extends HandToSandboxDeps {
  readonly sandboxReconciler: SandboxReconciler;
  readonly workspaceWork: Pick<WorkspaceWork, "run">;
  readonly writer: JobWriter;
  readonly queue: JobQueue;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told after each run. */
  readonly onRun: (run: { readonly ok: boolean; readonly durationMs: number; readonly actions: number }) => void;
}

/** Makes the jobs of database and node agree, on a timer and on a nudge. A run reads everything anew. */
export interface Reconciler extends AsyncDisposable {
  /** Runs once, now. Rejects when it could not read what there is; single actions that fail wait for the next run. */
  run(): Promise<void>;
  /** Begins to run every `intervalMs`. */
  begin(options: { readonly intervalMs: number }): void;
  /** Brings the next timed run forward to now. */
  nudge(): void;
}

export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { store, sandboxes, node, writer, queue, clock, log } = deps;
  const closing = new AbortController();
  const handing = new Set<JobId>();
  let pause = new AbortController();
  let loop: Promise<void> = Promise.resolve();

  async function apply(action: ReconcileAction): Promise<void> {
    const { jobId } = action;
    switch (action.kind) {
      case "mark_started": {
        const { microVmId, startedAtMs } = action;
        const startedAt = new Date(startedAtMs);
        return writer.storeStart(jobId, { microVmId, startedAt, data: { microVmId } });
      }
      case "mark_ended":
        await writer.storeEnd(jobId, action.end);
        return inBackground(action, node.acknowledge(jobId));
      case "mark_script_lost":
        return writer.storeEnd(jobId, { kind: "lost", message: SCRIPT_LOST, endedAtMs: clock.now().getTime() });
      case "hand_over":
        return handOver(action);
      case "mark_lost": {
        const { outcome, event } = lostOutcome(clock.now());
        await writer.change(jobId, () => store.markEnded(jobId, outcome, event));
        queue.leave(jobId);
        return;
      }
      case "mark_never_started": {
        queue.withdraw(jobId);
        await writer.storeEnd(jobId, neverStarted(clock.now()));
        return;
      }
      case "stop":
        return inBackground(action, node.stop(jobId));
      case "acknowledge":
        return inBackground(action, node.acknowledge(jobId));
      default:
        action satisfies never;
    }
  }

  /** The node may have to wait for the disk of that sandbox: no other job waits with it. One hand-over of a job at a time. */
  function handOver(action: ReconcileAction): void {
    const { jobId } = action;
    if (handing.has(jobId)) return;
    handing.add(jobId);
    inBackground(
      action,
      handToSandbox(deps, jobId).finally(() => handing.delete(jobId)),
    );
  }

  /** The node may take its time to release a microVM, and the next run looks again: no other job waits for it. */
  function inBackground(action: ReconcileAction, work: Promise<void>): void {
    work.catch((error: unknown) => log.warn("reconcile.action_failed", { ...action, error: messageOf(error) }));
  }

  async function runOnce(): Promise<number> {
    const expected = queue.known();
    const [live, liveSandboxes] = await Promise.all([store.live(), sandboxes.live()]);
    const observed = node.observe();
    queue.adopt({ live, sandboxes: liveSandboxes, observed, known: expected });
    const known = new Set(live.map((job) => job.id));
    const others = observed.map((job) => job.jobId).filter((jobId) => !known.has(jobId));
    const plan = planReconcile({
      live,
      observed,
      others: others.length === 0 ? new Map() : await store.statuses(others),
    });
    for (const action of plan) {
      log.info("reconcile.action", { ...action });
      await apply(action).catch((error: unknown) => {
        log.warn("reconcile.action_failed", { ...action, error: messageOf(error) });
      });
    }
    return plan.length + (await deps.sandboxReconciler.run(liveSandboxes)) + (await deps.workspaceWork.run());
  }

  async function run(): Promise<void> {
    const begunMs = clock.monotonicMs();
    const report = (ok: boolean, actions: number) =>
      deps.onRun({ ok, durationMs: clock.monotonicMs() - begunMs, actions });
    try {
      report(true, await runOnce());
    } catch (error) {
      report(false, 0);
      throw error;
    }
  }

  async function runForever(intervalMs: number): Promise<void> {
    while (!closing.signal.aborted) {
      await sleep(intervalMs, { signal: AbortSignal.any([closing.signal, pause.signal]) }).catch(() => {});
      if (closing.signal.aborted) return;
      pause = new AbortController();
      await run().catch((error: unknown) => log.warn("reconcile.failed", { error: messageOf(error) }));
    }
  }

  return {
    run,
    begin({ intervalMs }) {
      loop = runForever(intervalMs);
    },
    nudge() {
      pause.abort();
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await loop;
    },
  };
}
