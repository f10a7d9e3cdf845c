/**
 * The server in role `edge`: a gateway of SSH and URLs, and its connection to the server that has all else. It needs no root, no
 * database and no images. The gateway is a process of its own, which has the rights of nobody where root starts it.
 *
 * It runs from its start, and is ready when it has reached its server: the gateway opens then, and stays.
 */
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { AppError, type Clock, type Logger, lockFile } from "@mags/core";
import type { ServerConfig } from "./config.ts";
import { serveControlSocket } from "./control-socket.ts";
import { readEdgeSecret } from "./edge-config.ts";
import { type CertifiedGateway, openCertified } from "./gateway/certified-gateway.ts";
import { endLeftGateway, gatewayUid, keepGateway } from "./gateway/keep-gateway.ts";
import type { UrlTask } from "./gateway/messages.ts";
import { sshStatusOf, urlStatusOf } from "./gateway-status.ts";
import { placesOf } from "./installation.ts";
import { publicSshHost } from "./ssh-config.ts";
import type { ServerStatus } from "./status.ts";
import { VERSION } from "./version.ts";

export interface ServeEdgeOptions {
  /** The program of a gateway. */
  readonly gateway: string;
  readonly signal: AbortSignal;
}

/**
 * Runs until a stop is asked for on the control socket or by the signal.
 * @throws AppError when it cannot start; a server that cannot be reached is waited for.
 */
export async function serveEdge(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  config: ServerConfig,
  options: ServeEdgeOptions,
): Promise<void> {
  const { upstream: at, ssh, urls } = config;
  if (!at) throw new AppError("internal", "an edge has an upstream");
  const identity = { pid: process.pid, version: VERSION, started_at: clock.now().toISOString() };
  const places = placesOf(config);
  const stopping = new AbortController();
  const stopped = AbortSignal.any([stopping.signal, options.signal]);
  /** Why the server cannot be reached; null: it can; undefined: it has not been tried. */
  let away: string | null | undefined;
  let gateway: CertifiedGateway | undefined;

  function status(): ServerStatus {
    if (stopped.aborted) return { ...identity, state: "stopping", ready: false };
    if (!gateway && !away) return { ...identity, state: "starting", ready: false };
    const problem = gateway?.problem ?? null;
    const certificates = gateway?.certificateProblem ?? null;
    const host = publicSshHost(ssh, config.public_url);
    const serverAway = away ? `the server is away: ${away}` : null;
    return {
      ...identity,
      ...{ state: "running", role: "edge", upstream: `${at?.host}:${at?.port}` },
      ready: gateway !== undefined && problem === null && !away,
      checks: {
        server: away ?? "ok",
        ...(problem !== null && { gateway: problem }),
        ...(certificates !== null && { urls: certificates }),
      },
      ssh: gateway ? sshStatusOf(gateway, { host, away: serverAway }) : null,
      urls: gateway ? urlStatusOf(gateway, { config: urls, domain: null, away: serverAway }) : null,
    };
  }

  await mkdir(config.data_dir, { recursive: true, mode: 0o711 });
  {
    await using scope = new AsyncDisposableStack();
    scope.use(await lockFile(places.lockFile));
    scope.use(
      await serveControlSocket(places.controlSocket, {
        "GET /status": async () => status(),
        "POST /stop": async () => {
          stopping.abort();
          return { pid: process.pid, jobs: 0 };
        },
      }),
    );
    const secret = (await readEdgeSecret(at.secret_file)).reveal();
    const upstream = { host: at.host, port: at.port, secret };
    await endLeftGateway(places.gatewayProcess);
    const onUpstream = (problem: string | null) => {
      away = problem;
    };
    const open = (task: UrlTask | null) =>
      keepGateway(
        { log, onUpstream },
        {
          ...{ program: options.gateway, processFile: places.gatewayProcess },
          task: { upstream, ssh: ssh.enabled ? ssh : null, urls: task, uid: gatewayUid() },
        },
        { signal: stopped },
      );
    const opening = openCertified({ log, open }, urls);
    gateway = await opening.catch((error: unknown) => {
      if (stopped.aborted) return undefined;
      throw error;
    });
    if (gateway) {
      scope.use(gateway);
      log.info("edge.ready", { version: VERSION, ssh: gateway.ssh?.port, urls: gateway.urls?.port });
      if (!stopped.aborted) await once(stopped, "abort");
    }
    log.info("edge.stopping");
  }
  log.info("edge.stopped");
}
