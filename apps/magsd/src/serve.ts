/**
 * The server in role `all`: database, node and control plane in one process.
 *
 * States: `starting` → `running` → `stopping` → gone; a stop that is asked for while it starts leads from the first to
 * the third. The control socket answers in all of them. Whatever was opened is closed again, in the opposite order, also
 * when one of them fails. Whatever ends this process without asking, microVMs and the embedded database go on; the next
 * start takes them over.
 */
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import {
  type ControlPlane,
  type EmbeddedPostgres,
  openDatabase,
  openSealing,
  openUploads,
  type Sealing,
  startControlPlane,
  type Uploads,
} from "@mags/control-plane";
import { AppError, type Clock, type Logger, lockFile } from "@mags/core";
import type { UploadSource } from "@mags/domain";
import type { EdgeServer } from "@mags/edge";
import { imagesHeldBySandboxes, type Node } from "@mags/node";
import { lookIntervalMs } from "@mags/workspace-store";
import { graceMsOf, queueLimitsOf, type ServerConfig, sandboxDefaultsOf } from "./config.ts";
import { type ControlHandlers, serveControlSocket } from "./control-socket.ts";
import { openEdges } from "./edges.ts";
import type { CertifiedGateway } from "./gateway/certified-gateway.ts";
import { sshStatusOf, urlStatusOf } from "./gateway-status.ts";
import { INSTALLED, isInstalled, placesOf } from "./installation.ts";
import { startCollector } from "./installed/collector.ts";
import type { ServerParts } from "./parts.ts";
import { isSameServer } from "./same-server.ts";
import { publicSshHost } from "./ssh-config.ts";
import type { ServerStatus } from "./status.ts";
import { urlServiceOf } from "./url-service.ts";
import { VERSION } from "./version.ts";

export interface ServeDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly parts: ServerParts;
}

/** A server that has come up. */
interface Running {
  readonly plane: ControlPlane;
  readonly node: Node;
  readonly uploads: Uploads;
  /** Where clients reach it, and where it listens. */
  readonly apiUrl: string;
  readonly listenUrl: string;
  /** Null: neither SSH nor URLs are served. */
  readonly gateway: CertifiedGateway | null;
  readonly edges: EdgeServer | null;
  /** Null for an external one. */
  readonly databaseServer: EmbeddedPostgres | null;
}

/**
 * Runs until a stop is asked for on the control socket or by the signal.
 * @throws AppError when it cannot start; SuppressedError when closing fails, too.
 */
export async function serve(
  deps: ServeDeps,
  config: ServerConfig,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { clock, log } = deps;
  const identity = { pid: process.pid, version: VERSION, started_at: clock.now().toISOString() };
  const places = placesOf(config);
  const stopping = new AbortController();
  const stopped = AbortSignal.any([stopping.signal, options.signal]);
  let endJobs = false;
  let running: Running | undefined;

  /** Of jobs, and of sandboxes. */
  const runningVms = () => running?.node.poolStatus().busy ?? 0;
  const needRunning = (): Running => {
    if (running && !stopped.aborted) return running;
    throw new AppError("unavailable", `magsd is ${stopped.aborted ? "stopping" : "starting"}: try again in a moment`);
  };
  const needImages = () => needRunning().node.images;
  const handlers: ControlHandlers = {
    "GET /images": async () => needImages().list(),
    "GET /images/name": async (query) => {
      await needImages().checkName(query.get("name") ?? "");
      return {};
    },
    "POST /images/register": async (query) => needImages().register(query.get("build") ?? "", query.get("name") ?? ""),
    "POST /images/remove": async (query) => {
      const { node, plane } = needRunning();
      const name = query.get("name") ?? "";
      await node.images.remove(name, () => plane.jobsWaitingIn(name).map((jobId) => `job ${jobId}`));
      return {};
    },
    "POST /images/collect": async () => needImages().collect(),
    "GET /status": async (): Promise<ServerStatus> => {
      if (stopped.aborted) return { ...identity, state: "stopping", ready: false };
      return { ...identity, ...(running ? await statusOf(running, config) : { state: "starting", ready: false }) };
    },
    "POST /stop": async (query) => {
      endJobs ||= query.get("all") === "true";
      stopping.abort();
      return { pid: process.pid, jobs: runningVms() };
    },
    "POST /token": async (query) => {
      const { plane, apiUrl } = needRunning();
      const token = await plane.accounts.issueBootstrapToken(query.get("name") || "local");
      return { token: token.reveal(), api_url: apiUrl };
    },
    "GET /footprint": async () => {
      const { node, uploads } = needRunning();
      const footprint = node.footprint();
      return { ...footprint, work: [...footprint.work, ...uploads.underWay] };
    },
    "GET /unknown-uploads": async (query) => needRunning().uploads.unknown(query.get("ids")?.split(",") ?? []),
    "GET /unknown-sandboxes": async (query) => needRunning().plane.unknownSandboxes(query.get("ids")?.split(",") ?? []),
    "GET /unknown-jobs": async (query) => {
      const ids = query.get("ids")?.split(",") ?? [];
      return needRunning().plane.unknownJobs(ids);
    },
    "GET /token-state": async (query) => {
      const { plane, apiUrl, listenUrl } = needRunning();
      if (!isSameServer(query.get("api_url") ?? "", [apiUrl, listenUrl])) return { state: "other-server" };
      const account = await plane.accounts.authenticate(query.get("token") ?? "");
      return { state: account ? "valid" : "dead" };
    },
  };

  await mkdir(config.data_dir, { recursive: true, mode: 0o711 });
  {
    await using scope = new AsyncDisposableStack();
    scope.use(await lockFile(places.lockFile));
    scope.use(await serveControlSocket(places.controlSocket, handlers));
    running = await startUp(deps, config, { scope, stopping, stopped });
    if (running) {
      if (isInstalled(config))
        scope.use(startCollector(INSTALLED.program, { log, held: () => imagesHeldBySandboxes(config.data_dir) }));
      log.info("server.ready", { version: VERSION, apiUrl: running.apiUrl });
      if (!stopped.aborted) await once(stopped, "abort");
    }
    log.info("server.stopping", { all: endJobs, jobs: runningVms() });
    if (endJobs) {
      // What clients run is hung up before the sandboxes sleep: nobody takes it up again.
      await running?.edges?.[Symbol.asyncDispose]();
      await running?.gateway?.[Symbol.asyncDispose]();
      await running?.plane.endAllJobs();
    }
  }
  log.info("server.stopped");
}

/** Opens everything into `scope`. @returns undefined when a stop was asked for meanwhile. */
async function startUp(
  { clock, log, parts }: ServeDeps,
  config: ServerConfig,
  control: {
    readonly scope: AsyncDisposableStack;
    readonly stopping: AbortController;
    readonly stopped: AbortSignal;
  },
): Promise<Running | undefined> {
  const { scope, stopping, stopped } = control;
  // The node gets jobs, and so asks for uploads, only when both are there.
  const opened = Promise.withResolvers<Uploads>();
  const source: UploadSource = { open: async (id, signals) => (await opened.promise).open(id, signals) };
  // Database and node come up side by side: neither needs the other. Each is closed where the other fails.
  const opening = [
    parts.openDatabaseServer({ signal: stopped }).then((server) => {
      scope.defer(async () => server?.stop());
      return server;
    }),
    parts.openNode({ signal: stopped, uploads: source }).then((node) => scope.adopt(node, () => node.close())),
  ] as const;
  await Promise.allSettled(opening);
  if (stopped.aborted) return undefined;
  const [server, node] = await Promise.all(opening);

  const address = server?.address ?? (config.database.url && { url: config.database.url });
  if (!address) throw new AppError("internal", "there is neither an embedded nor an external database");
  const database = scope.use(await openDatabase({ log, onLost: () => stopping.abort() }, { address }));
  await node.claim(database.installation);
  if (stopped.aborted) return undefined;
  const maxBytesPerAccount = config.limits.account.upload_mb * 1_000_000;
  const uploadOptions = { directory: placesOf(config).uploads, maxBytesPerAccount };
  const uploads = scope.use(await openUploads({ database, clock, log }, uploadOptions));
  opened.resolve(uploads);
  const sealing = await openSealingOf(config);
  const sshHost = publicSshHost(config.ssh, config.public_url);
  let gateway: CertifiedGateway | null = null;
  const checkSsh = async () => {
    if (gateway?.problem) throw new AppError("unavailable", gateway.problem);
  };
  const checkUrls = async () => {
    await checkSsh();
    if (gateway?.certificateProblem) throw new AppError("unavailable", gateway.certificateProblem);
  };
  const readiness = [
    { name: "node", check: async () => node.checkReady() },
    ...(config.ssh.enabled ? [{ name: "ssh", check: checkSsh, isEssential: false }] : []),
    ...(config.urls.enabled ? [{ name: "urls", check: checkUrls, isEssential: false }] : []),
  ];
  const plane = scope.use(
    await startControlPlane(
      { database, node, uploads, sealing, clock, log, readiness },
      {
        ...{ corsOrigins: config.cors_origins, limits: queueLimitsOf(config), sandboxes: sandboxDefaultsOf(config) },
        ...{ auditKeepDays: config.audit.keep_days, urlLogKeepDays: config.urls.log_keep_days },
        publicUrl: config.public_url,
        collectionIntervalMs: lookIntervalMs(graceMsOf(config)),
        ssh: config.ssh.enabled
          ? {
              host: sshHost,
              port: () => gateway?.ssh?.port ?? config.ssh.listen.port,
              jobPorts: config.ssh.job_ports,
              replacesLostHostKey: config.ssh.replace_lost_host_key,
            }
          : null,
        urls: urlServiceOf(config.urls, () => gateway),
      },
    ),
  );
  await plane.accounts.ensureBootstrap();
  const isServed = config.ssh.enabled || config.urls.enabled;
  const upstream = isServed ? { directory: plane.ssh, urls: plane.urls, node } : null;
  try {
    if (upstream) gateway = scope.use(await parts.openGateway(upstream, { signal: stopped }));
  } catch (error) {
    if (stopped.aborted) return undefined;
    throw error;
  }
  const edges = upstream && config.edges && scope.use(await openEdges({ upstream, log }, config.edges));
  const listenUrl = await plane.listen(config.listen);
  return {
    plane,
    node,
    uploads,
    listenUrl,
    ...{ gateway, edges },
    apiUrl: config.public_url ?? listenUrl,
    databaseServer: server,
  };
}

function openSealingOf(config: ServerConfig): Promise<Sealing> {
  const { sealing_key_file: shared } = config;
  return openSealing(shared ?? placesOf(config).sealingKey, { make: shared === undefined });
}

async function statusOf({ plane, node, apiUrl, gateway, edges, databaseServer }: Running, config: ServerConfig) {
  const { ssh, urls, public_url } = config;
  const { ready, checks } = await plane.readiness();
  const { accelerator, acceleratorReason } = node.describe();
  const pool = node.poolStatus();
  return {
    ...{ state: "running" as const, role: "all" as const },
    ready,
    checks,
    api_url: apiUrl,
    edges: edges && { port: edges.port, connected: edges.edges() },
    ssh: gateway && sshStatusOf(gateway, { host: publicSshHost(ssh, public_url) }),
    urls: gateway && urlStatusOf(gateway, { config: urls, domain: urls.domain, acme: await plane.certificates() }),
    accelerator,
    accelerator_reason: acceleratorReason,
    pool: { idle_vms: pool.idle, busy_vms: pool.busy, min_pool_size: pool.minIdle, queued_jobs: plane.queuedJobs() },
    database: {
      kind: databaseServer ? ("embedded" as const) : ("external" as const),
      pid: databaseServer?.pid ?? null,
    },
  };
}
