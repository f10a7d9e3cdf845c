/**
 * The control plane: owns the jobs in the database, tells the node what to run, takes down what it reports, and answers
 * the API. The node must have re-adopted what it runs before this starts: a job it does not know counts as lost.
 */
import type { AddressInfo } from "node:net";
import { AppError, type Clock, type Logger, messageOf } from "@mags/core";
import {
  isUuid,
  type JobId,
  NO_USAGE,
  type NodeRuntime,
  type SandboxId,
  type SshDirectory,
  type UrlRegister,
} from "@mags/domain";
import { openCertificates } from "./acme/open-certificates.ts";
import { type Accounts, createAccounts } from "./app/accounts.ts";
import { createAuditLog } from "./app/audit-log.ts";
import type { CertificateSummary } from "./app/certificate-summary.ts";
import { type CollectorRun, createCollector } from "./app/collector.ts";
import { createDisks } from "./app/disks.ts";
import { endOnNode } from "./app/end-on-node.ts";
import { createIntake } from "./app/intake.ts";
import { createJobChanges } from "./app/job-changes.ts";
import { createJobQueue, type QueueLimits } from "./app/job-queue.ts";
import { createJobWriter } from "./app/job-writer.ts";
import { createNewestVersions } from "./app/newest-versions.ts";
import { createPolicies } from "./app/policies.ts";
import { createSandboxReconciler } from "./app/reconcile-sandboxes.ts";
import { createWorkspaceWork } from "./app/reconcile-workspaces.ts";
import { createReconciler } from "./app/reconciler.ts";
import { createSandboxFollower } from "./app/sandbox-follower.ts";
import type { SandboxDefaults } from "./app/sandbox-policy.ts";
import { createSandboxReports } from "./app/sandbox-reports.ts";
import type { Sealing } from "./app/sealing.ts";
import { createSshKeys } from "./app/ssh-keys.ts";
import { createSshService } from "./app/ssh-service.ts";
import { startUploads, type Uploads } from "./app/uploads.ts";
import { createUrlService } from "./app/url-service.ts";
import type { ControlPlaneConfig } from "./control-plane-config.ts";
import { openUploadDirectory } from "./disk/upload-directory.ts";
import { createTxtLookUp } from "./dns/txt-records.ts";
import { createHttpServer } from "./http/server.ts";
import { createMetrics } from "./metrics/metrics.ts";
import { allRoutes } from "./routes/all-routes.ts";
import { type Readiness, type ReadinessCheck, readinessOf, registerService } from "./routes/service.ts";
import { createAccountStore } from "./sql/account-store.ts";
import { createAuditStore } from "./sql/audit-store.ts";
import type { Database } from "./sql/database.ts";
import { createJobStore } from "./sql/job-store.ts";
import { createSandboxStore } from "./sql/sandbox-store.ts";
import { createSshAccessStore } from "./sql/ssh-access-store.ts";
import { createSshKeyStore } from "./sql/ssh-key-store.ts";
import { createUploadRecords } from "./sql/upload-records.ts";
import { createUrlCertificateStore } from "./sql/url-certificate-store.ts";
import { createUrlStore } from "./sql/url-store.ts";
import { createUrlTrafficStore } from "./sql/url-traffic-store.ts";
import { createUsageStore } from "./sql/usage-store.ts";
import { createWorkspaceRecords } from "./sql/workspace-records.ts";

const DRAIN_MS = 5_000;

/** Restarts that come more often than collections do not keep them from happening. */
const FIRST_COLLECTION_MS = 300_000;
const DEFAULT_COLLECTION_MS = 3_600_000;

const DEFAULT_LIMITS: QueueLimits = {
  ...{ account: NO_USAGE, queuedPerAccount: 1_000, queued: 10_000, queueMs: 600_000 },
};

const DEFAULT_AUDIT_KEEP_DAYS = 90;
const DEFAULT_URL_LOG_KEEP_DAYS = 7;

const DEFAULT_SANDBOXES: SandboxDefaults = { idleMinutes: 10, warmMs: 300_000 };

export interface ControlPlaneDeps {
  /** Stays the caller's: dispose of it after the control plane. */
  readonly database: Database;
  readonly node: NodeRuntime;
  /** The caller's, too. */
  readonly uploads: Uploads;
  /** Of the secrets in the database: by the key of the installation. */
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Logger;
  /** What is looked at besides the database, for whoever asks whether jobs can be served. */
  readonly readiness?: readonly ReadinessCheck[];
}

export interface ControlPlane extends AsyncDisposable {
  readonly accounts: Accounts;
  /** For SSH gateways; null: there are to be none. */
  readonly ssh: SshDirectory | null;
  /** For gateways of URLs; null: there are to be none. */
  readonly urls: UrlRegister | null;
  /** How those of aliases stand. Null: none are asked for, or that cannot be known now. */
  certificates(): Promise<CertificateSummary | null>;
  /** Begins to answer. @returns the URL, with the port that was taken for port 0. */
  listen(address: { readonly host: string; readonly port: number }): Promise<string>;
  /** Whether jobs can be served now, and if not, why. */
  readiness(): Promise<Readiness>;
  /** Those of the ids that are no job's. */
  unknownJobs(ids: readonly string[]): Promise<string[]>;
  /** Those of the ids that are no sandbox's. */
  unknownSandboxes(ids: readonly string[]): Promise<string[]>;
  /** Jobs of all accounts that wait for a microVM, here or in the node. */
  queuedJobs(): number;
  /** Jobs that the node does not have yet and that will run in this image. */
  jobsWaitingIn(image: string): readonly JobId[];
  /** Removes from the object store now what no workspace needs any more. */
  collectNow(): Promise<CollectorRun>;
  /** Compares jobs with the node now instead of at the next tick. */
  nudge(): void;
  /**
   * Takes no more jobs, ends those that have microVMs of their own and puts sandboxes to sleep, with what runs in them, or
   * releases those that are only kept warm; resolves when no microVM runs, or when one could not be ended in time. Those who follow jobs see their ends. What is left to do then is to dispose of the
   * control plane.
   */
  endAllJobs(): Promise<void>;
}

/** The uploads of the installation, to be had before jobs that use them are started. */
export async function openUploads(
  deps: { readonly database: Database; readonly clock: Clock; readonly log: Logger },
  options: { readonly directory: string /** Of one account; 0: no limit. */; readonly maxBytesPerAccount: number },
): Promise<Uploads> {
  const { database, clock, log } = deps;
  const files = await openUploadDirectory(options.directory);
  const { maxBytesPerAccount } = options;
  return startUploads({ records: createUploadRecords(database), files, clock, log, maxBytesPerAccount });
}

/** Makes jobs and node agree, then begins to take reports; `listen` opens the API. */
export async function startControlPlane(
  deps: ControlPlaneDeps,
  config: ControlPlaneConfig = {},
): Promise<ControlPlane> {
  const { database, node, clock, log } = deps;
  const closing = new AbortController();
  /** Ends event streams and commands. */
  const callsEnd = new AbortController();
  const store = createJobStore(database);
  const auditStore = createAuditStore(database);
  const audit = createAuditLog({ store: auditStore, clock, log });
  const accounts = createAccounts({ store: createAccountStore(database), audit, clock, log });
  const sshKeys = createSshKeys({ store: createSshKeyStore(database), audit, clock, log });
  const changes = createJobChanges();
  const sandboxes = createSandboxStore(database);
  const sshDeps = {
    ...{ store, access: createSshAccessStore(database), sandboxes, changes, sshKeys, audit },
    ...{ sealing: deps.sealing, clock, log },
  };
  const ssh = config.ssh ? await createSshService(sshDeps, config.ssh) : null;
  const urlStore = createUrlStore(database);
  const urlTraffic = createUrlTrafficStore(database);
  const urlCertificates = createUrlCertificateStore(database);
  const certificates =
    config.urls &&
    (await openCertificates(
      {
        ...{ store: urlCertificates, secrets: sshDeps.access },
        ...{ sealing: deps.sealing, clock, log },
      },
      config.urls,
    ));
  const urls = config.urls
    ? createUrlService(
        {
          certificates: certificates ?? null,
          ...{ store: urlStore, traffic: urlTraffic, audit, sealing: deps.sealing, clock, log },
          lookUp: createTxtLookUp(config.urls.ownDomains.dnsServers),
          apiHost: config.publicUrl ? new URL(config.publicUrl).hostname : null,
        },
        config.urls,
      )
    : null;
  const metrics = createMetrics({
    ...{ store, node, clock, ssh, urls, databaseReconnects: () => database.reconnects, heldJobs: () => queue.waiting },
    checks: async () => (await readiness()).checks,
  });
  const { timings } = metrics;
  const intake = createIntake();
  const defaults = config.sandboxes ?? DEFAULT_SANDBOXES;
  const disks = createDisks({ sandboxes, node, queue: () => queue });
  const workspaces = createWorkspaceRecords(database);
  const workspaceWork = createWorkspaceWork({ workspaces, node, clock, log });
  const newestVersions = createNewestVersions({ workspaces, node, log });
  const basis = {
    ...{ store, sandboxes, workspaces, workspaceWork, newestVersions, node },
    ...{ disks, changes, timings, clock, log, defaults, audit, auditStore, sshKeys, ssh, urls, urlStore, urlTraffic },
  };
  const policies = createPolicies(basis);
  const reports = createSandboxReports({
    ...{ ...basis, queue: () => queue, onDamage: metrics.damaged },
    onEnded: (sandboxId) => ssh?.ended(sandboxId),
  });
  const writer = createJobWriter({ ...basis, sandboxes: createSandboxFollower({ ...basis, reports, policies }) });
  const queue = createJobQueue(
    { ...basis, writer, onRefused: metrics.refused, onOverdue: metrics.overdue },
    config.limits ?? DEFAULT_LIMITS,
  );
  const sandboxReconciler = createSandboxReconciler({ ...basis, reports, policies });
  const reconciler = createReconciler({
    ...basis,
    policies,
    writer,
    queue,
    sandboxReconciler,
    onRun: metrics.reconciled,
  });
  const collector = createCollector({
    ...{
      ...basis,
      urlCertificates,
      auditKeepDays: config.auditKeepDays ?? DEFAULT_AUDIT_KEEP_DAYS,
      urlLogKeepDays: config.urlLogKeepDays ?? DEFAULT_URL_LOG_KEEP_DAYS,
      onRun: metrics.collected,
    },
  });
  const routes = allRoutes({
    ...basis,
    ...{ accounts, usage: createUsageStore(database), uploads: deps.uploads, reports, policies, intake, writer, queue },
    ...{ heartbeatMs: config.heartbeatMs ?? 15_000, publicUrl: config.publicUrl ?? null },
  });
  const readiness = () => readinessOf([databaseCheck(database), ...(deps.readiness ?? [])]);
  const checkResponses = config.checkResponses ?? false;
  const app = createHttpServer(
    { accounts, clock, log, metrics, checkResponses, closing: AbortSignal.any([closing.signal, callsEnd.signal]) },
    {
      routes,
      corsOrigins: config.corsOrigins ?? [],
      extend: (server) => registerService(server, { accounts, metrics, readiness }),
    },
  );

  node.onUpdate((update) => {
    if (closing.signal.aborted) return;
    if (update.type === "sandbox") reports.handle(update);
    else writer.handle(queue.reported(update));
  });
  await reconciler.run();
  database.onReconnect(reconciler.nudge);
  reconciler.begin({ intervalMs: config.reconcileIntervalMs ?? 15_000 });
  const intervalMs = config.collectionIntervalMs ?? DEFAULT_COLLECTION_MS;
  collector.begin({ firstMs: Math.min(FIRST_COLLECTION_MS, intervalMs), intervalMs });

  return {
    accounts,
    ssh: ssh?.directory ?? null,
    urls: urls?.directory ?? null,
    certificates: async () => (await certificates?.summary().catch(() => null)) ?? null,
    async listen({ host, port }) {
      try {
        await app.listen({ host, port });
      } catch (cause) {
        throw new AppError("unavailable", `cannot listen on ${host}:${port}: ${messageOf(cause)}`, { cause });
      }
      const { port: taken } = app.server.address() as AddressInfo;
      return `http://${host.includes(":") ? `[${host}]` : host}:${taken}`;
    },
    readiness,
    async unknownJobs(ids) {
      const known = await store.statuses(ids.filter(isUuid) as JobId[]);
      return ids.filter((id) => !known.has(id as JobId));
    },
    async unknownSandboxes(ids) {
      const known = await sandboxes.knownAmong(ids.filter(isUuid) as SandboxId[]);
      return ids.filter((id) => !known.has(id as SandboxId));
    },
    queuedJobs: () => queue.waiting + node.poolStatus().queued,
    jobsWaitingIn: queue.waitingIn,
    collectNow: collector.run,
    nudge: reconciler.nudge,
    async endAllJobs() {
      await intake.close();
      // It finds jobs to start, too.
      await reconciler[Symbol.asyncDispose]();
      await Promise.all([queue.endAll(), endOnNode({ ...basis, reports, policies, endCalls: () => callsEnd.abort() })]);
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await app.close();
      await Promise.all([reconciler[Symbol.asyncDispose](), collector[Symbol.asyncDispose]()]);
      await queue[Symbol.asyncDispose]();
      await Promise.all([writer.close({ deadlineMs: DRAIN_MS }), reports.close({ deadlineMs: DRAIN_MS })]);
      await certificates?.[Symbol.asyncDispose]();
      await urls?.close({ deadlineMs: DRAIN_MS });
      await audit.close({ deadlineMs: DRAIN_MS });
    },
  };
}

function databaseCheck(database: Database): ReadinessCheck {
  return {
    name: "database",
    check: () => database.ping(),
  };
}
