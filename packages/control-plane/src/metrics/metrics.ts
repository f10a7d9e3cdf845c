import type { Clock } from "@mags/core";
import type { JobId, NodeRuntime } from "@mags/domain";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { CollectorRun } from "../app/collector.ts";
import type { JobStore } from "../app/job-store.ts";
import type { JobTimings } from "../app/job-timings.ts";
import type { SshService } from "../app/ssh-service.ts";
import type { UrlService } from "../app/url-service.ts";
import { registerCertificates } from "./certificate-metrics.ts";

const HTTP_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const START_BUCKETS_S = [0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60];

export interface MetricsDeps {
  readonly store: JobStore;
  readonly node: NodeRuntime;
  readonly clock: Clock;
  readonly databaseReconnects: () => number;
  /** Jobs that wait outside the node. */
  readonly heldJobs: () => number;
  /** By part of the server: `ok`, or what is wrong. */
  readonly checks: () => Promise<Readonly<Record<string, string>>>;
  /** What SSH gateways told of connections; null: there are none. */
  readonly ssh: Pick<SshService, "noted"> | null;
  readonly urls: Pick<UrlService, "totals" | "certificates" | "ownCertificatesEnd"> | null;
}

export interface Metrics {
  /** Of jobs, for those who see them pass. */
  readonly timings: JobTimings;
  request(request: {
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly durationMs: number;
  }): void;
  reconciled(run: { readonly ok: boolean; readonly durationMs: number; readonly actions: number }): void;
  /** The object store was looked at for garbage. */
  collected(run: CollectorRun): void;
  /** A VM met damage in the object store. */
  damaged(): void;
  /** A submit was refused because too many jobs wait. */
  refused(by: "account" | "server"): void;
  /** A job got no microVM in time. */
  overdue(): void;
  /** In Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

export function createMetrics(deps: MetricsDeps): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const { store, node, clock } = deps;

  const requests = new Histogram({
    name: "mags_http_request_duration_seconds",
    help: "Time from the head of a request to the end of its reply.",
    labelNames: ["method", "route", "status"],
    buckets: HTTP_BUCKETS_S,
    registers,
  });
  const reconcileRuns = new Counter({
    name: "mags_reconcile_runs_total",
    help: "Runs of the job reconciler.",
    labelNames: ["result"],
    registers,
  });
  const reconcileActions = new Counter({
    name: "mags_reconcile_actions_total",
    help: "What the job reconciler had to put right.",
    registers,
  });
  const reconcileDuration = new Gauge({
    name: "mags_reconcile_last_duration_seconds",
    help: "Duration of the last run of the job reconciler.",
    registers,
  });
  new Counter({
    name: "mags_database_reconnects_total",
    help: "How often the connection to the database was lost and made anew.",
    registers,
    collect() {
      this.reset();
      this.inc(deps.databaseReconnects());
    },
  });
  new Gauge({
    name: "mags_check_ok",
    help: "1: this part of the server works; 0: it does not. What is wrong says /readyz.",
    labelNames: ["check"],
    registers,
    async collect() {
      this.reset();
      for (const [check, result] of Object.entries(await deps.checks())) this.set({ check }, Number(result === "ok"));
    },
  });
  new Gauge({
    name: "mags_jobs",
    help: "Jobs that have not ended, by state. Absent while the database is away.",
    labelNames: ["status"],
    registers,
    async collect() {
      this.reset();
      const live = await store.live().catch(() => null);
      if (!live) return;
      for (const status of ["pending", "running", "sleeping"])
        this.set({ status }, live.filter((job) => job.status === status).length);
    },
  });
  new Gauge({
    name: "mags_pool_vms",
    help: "MicroVMs of the node: idle ones wait for a job.",
    labelNames: ["state"],
    registers,
    collect() {
      const { idle, busy } = node.poolStatus();
      this.set({ state: "idle" }, idle);
      this.set({ state: "busy" }, busy);
    },
  });

  new Gauge({
    name: "mags_queue_jobs",
    help: "Jobs that wait for a microVM: in the queue of the server, or taken by the node.",
    labelNames: ["place"],
    registers,
    collect() {
      this.set({ place: "server" }, deps.heldJobs());
      this.set({ place: "node" }, node.poolStatus().queued);
    },
  });
  new Counter({
    name: "mags_ssh_connections_total",
    help: "SSH connections that somebody signed in to or was refused, and those that have ended after a sign-in.",
    labelNames: ["result"],
    registers,
    collect() {
      this.reset();
      if (!deps.ssh) return;
      for (const result of ["signed_in", "refused", "ended"] as const) this.inc({ result }, deps.ssh.noted[result]);
    },
  });
  new Counter({
    name: "mags_url_requests_total",
    help: "Requests to URLs of sandboxes that were answered, by the first digit of the status.",
    labelNames: ["status"],
    registers,
    collect() {
      this.reset();
      for (const [digit, count] of Object.entries(deps.urls?.totals.requests ?? {}))
        this.inc({ status: `${digit}xx` }, count);
    },
  });
  new Counter({
    name: "mags_url_bytes_total",
    help: "Bytes of bodies of these requests, and of WebSockets: in, from clients; out, to them.",
    labelNames: ["direction"],
    registers,
    collect() {
      this.reset();
      this.inc({ direction: "in" }, deps.urls?.totals.bytesIn ?? 0);
      this.inc({ direction: "out" }, deps.urls?.totals.bytesOut ?? 0);
    },
  });
  if (deps.urls) registerCertificates(registry, deps.urls, clock);
  const refused = new Counter({
    name: "mags_jobs_refused_total",
    help: "Submits that were refused because too many jobs wait: of the account, or of the server.",
    labelNames: ["limit"],
    registers,
  });
  const overdue = new Counter({
    name: "mags_jobs_overdue_total",
    help: "Jobs that ended because they got no microVM in time.",
    registers,
  });

  const damages = new Counter({
    name: "mags_workspace_damages_total",
    help: "Places of synced workspaces that VMs found damaged or lost in the object store.",
    registers,
  });

  return {
    timings: createTimings(registry, clock),
    collected: createCollections(registry, clock),
    refused: (by) => refused.inc({ limit: by }),
    overdue: () => overdue.inc(),
    damaged: () => damages.inc(),
    request({ method, route, status, durationMs }) {
      requests.observe({ method, route, status: String(status) }, durationMs / 1000);
    },
    reconciled({ ok, durationMs, actions }) {
      reconcileRuns.inc({ result: ok ? "ok" : "failed" });
      reconcileActions.inc(actions);
      reconcileDuration.set(durationMs / 1000);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

function createCollections(registry: Registry, clock: Clock): Metrics["collected"] {
  const registers = [registry];
  const runs = new Counter({
    name: "mags_collector_runs_total",
    help: "Runs of the collector of workspaces.",
    labelNames: ["result"],
    registers,
  });
  const removed = new Counter({
    name: "mags_collector_removed_bytes_total",
    help: "What the collector of workspaces removed from the object store.",
    registers,
  });
  const waiting = new Gauge({
    name: "mags_collector_waiting_objects",
    help: "Objects that are garbage and not yet for long enough, at the last run.",
    registers,
  });
  const last = new Gauge({
    name: "mags_collector_last_success_timestamp_seconds",
    help: "When the collector of workspaces last looked at all accounts; 0: not since the start.",
    registers,
  });
  return (run) => {
    runs.inc({ result: run.ok ? "ok" : "failed" });
    removed.inc(run.removedBytes);
    waiting.set(run.waiting);
    if (run.ok) last.set(clock.now().getTime() / 1000);
  };
}

function createTimings(registry: Registry, clock: Clock): JobTimings {
  const registers = [registry];
  const toStarted = new Histogram({
    name: "mags_job_submit_to_started_seconds",
    help: "Time from the request that submits a job to the start of its script.",
    buckets: START_BUCKETS_S,
    registers,
  });
  const toFirstOutput = new Histogram({
    name: "mags_job_submit_to_first_output_seconds",
    help: "Time from the request that submits a job to its first output on the way to whoever follows it.",
    buckets: START_BUCKETS_S,
    registers,
  });
  const ended = new Counter({
    name: "mags_jobs_ended_total",
    help: "Jobs that ended, by final state.",
    labelNames: ["status"],
    registers,
  });
  /** Jobs of this process that have not ended: when they came, and whether their output was seen. */
  const open = new Map<JobId, { readonly receivedMs: number; outputSeen: boolean }>();
  const secondsSince = (receivedMs: number) => (clock.monotonicMs() - receivedMs) / 1000;

  return {
    submitted(jobId, receivedMs) {
      open.set(jobId, { receivedMs, outputSeen: false });
    },
    started(jobId) {
      const job = open.get(jobId);
      if (job) toStarted.observe(secondsSince(job.receivedMs));
    },
    firstOutput(jobId) {
      const job = open.get(jobId);
      if (!job || job.outputSeen) return;
      job.outputSeen = true;
      toFirstOutput.observe(secondsSince(job.receivedMs));
    },
    ended(jobId, status) {
      open.delete(jobId);
      ended.inc({ status });
    },
  };
}
