/**
 * The server in role `all`: database, node and control plane in one process. Whatever ends this process, microVMs and
 * the embedded database go on; the next start takes them over.
 */
import { mkdir } from "node:fs/promises";
import {
  type DatabaseAddress,
  type EmbeddedPostgres,
  openDatabase,
  startControlPlane,
  startPostgres,
} from "@mags/control-plane";
import type { Clock, Logger } from "@mags/core";
import { type Node, openNode, runtimeOf } from "@mags/node";
import type { ServerConfig } from "./config.ts";
import { type ControlHandlers, serveControlSocket } from "./control-socket.ts";
import { placesOf } from "./installation.ts";
import { isSameServer } from "./same-server.ts";
import type { ServerStatus } from "./status.ts";
import { VERSION } from "./version.ts";

const DATABASE_NAME = "mags";

export interface ServeDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/** Runs until `stop` is asked for on the control socket or by the signal. */
export async function serve(
  deps: ServeDeps,
  config: ServerConfig,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { clock, log } = deps;
  const startedAt = clock.now().toISOString();
  const places = placesOf(config);
  await mkdir(config.data_dir, { recursive: true, mode: 0o711 });
  const stop = Promise.withResolvers<{ readonly all: boolean }>();
  options.signal.addEventListener("abort", () => stop.resolve({ all: false }), { once: true });

  // Database and node come up side by side: neither needs the other.
  const [database, node] = await Promise.all([openDatabaseServer(deps, config), openMagsNode(deps, config)]);
  const db = await openDatabase({ log, onLost: () => stop.resolve({ all: false }) }, { address: database.address });
  await node.claim(db.installation);
  const readiness = [{ name: "node", check: async () => node.checkReady() }];
  const plane = await startControlPlane(
    { database: db, node, clock, log, readiness },
    { corsOrigins: config.cors_origins },
  );
  await plane.accounts.ensureBootstrap();
  const listenUrl = await plane.listen(config.listen);
  const apiUrl = config.public_url ?? listenUrl;

  const status = (): ServerStatus => {
    const { accelerator, acceleratorReason } = node.describe();
    const pool = node.poolStatus();
    return {
      pid: process.pid,
      version: VERSION,
      api_url: apiUrl,
      started_at: startedAt,
      ready: true,
      accelerator,
      accelerator_reason: acceleratorReason,
      pool: { idle_vms: pool.idle, busy_vms: pool.busy, min_pool_size: pool.minIdle, queued_jobs: pool.queued },
      database: { kind: database.server ? "embedded" : "external", pid: database.server?.pid ?? null },
    };
  };
  const runningJobs = () => node.observe().filter(({ state }) => state !== "ended").length;
  const handlers: ControlHandlers = {
    "GET /status": async () => status(),
    "POST /stop": async (query) => {
      stop.resolve({ all: query.get("all") === "true" });
      return { pid: process.pid, jobs: runningJobs() };
    },
    "POST /token": async (query) => {
      const token = await plane.accounts.issueBootstrapToken(query.get("name") || "local");
      return { token: token.reveal(), api_url: apiUrl };
    },
    "GET /token-state": async (query) => {
      if (!isSameServer(query.get("api_url") ?? "", [apiUrl, listenUrl])) return { state: "other-server" };
      const account = await plane.accounts.authenticate(query.get("token") ?? "");
      return { state: account ? "valid" : "dead" };
    },
  };
  const control = await serveControlSocket(places.controlSocket, handlers);
  log.info("server.ready", { version: VERSION, apiUrl });

  const { all } = await stop.promise;
  log.info("server.stopping", { all, jobs: runningJobs() });
  if (all) await Promise.all(node.observe().map(({ jobId }) => node.stop(jobId)));
  await plane[Symbol.asyncDispose]();
  await node.close();
  await db[Symbol.asyncDispose]();
  await database.server?.stop();
  // Last: who asked for the stop waits until nobody answers here.
  await control[Symbol.asyncDispose]();
  log.info("server.stopped");
}

async function openDatabaseServer(
  { log }: ServeDeps,
  config: ServerConfig,
): Promise<{ readonly address: DatabaseAddress; readonly server: EmbeddedPostgres | null }> {
  if (config.database.url) return { address: { url: config.database.url }, server: null };
  const places = placesOf(config);
  const { uid } = config.database;
  const server = await startPostgres(
    { log },
    {
      runtimeRoot: await runtimeOf(config.artifacts),
      dataDir: places.postgresData,
      socketDir: places.postgresSockets,
      logFile: places.postgresLog,
      uid,
      gid: uid,
    },
    { database: DATABASE_NAME },
  );
  return { address: server.address, server };
}

function openMagsNode(deps: ServeDeps, config: ServerConfig): Promise<Node> {
  const { nodeDirectory } = placesOf(config);
  return openNode(deps, { dataDirectory: nodeDirectory, artifactsFile: config.artifacts, config: config.node });
}
