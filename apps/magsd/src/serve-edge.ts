/**
 * The server in role `edge`: an SSH gateway, and a connection to the server that has all else. It needs no root, no
 * database and no images.
 *
 * It runs from its start, and is ready when it has reached its server: the gateway opens then, and stays.
 */
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { AppError, type Clock, isAppError, type Logger, lockFile, type Secret, sleep } from "@mags/core";
import { connectUpstream, type RemoteUpstream, type SshGateway } from "@mags/edge";
import type { ServerConfig } from "./config.ts";
import { serveControlSocket } from "./control-socket.ts";
import { readEdgeSecret } from "./edge-config.ts";
import { placesOf } from "./installation.ts";
import { openSsh } from "./ssh.ts";
import { publicSshHost } from "./ssh-config.ts";
import type { ServerStatus } from "./status.ts";
import { VERSION } from "./version.ts";

const PAUSE_MS = 200;

/**
 * Runs until a stop is asked for on the control socket or by the signal.
 * @throws AppError when it cannot start; a server that cannot be reached is waited for.
 */
export async function serveEdge(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  config: ServerConfig,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { upstream: at, ssh } = config;
  if (!at) throw new AppError("internal", "an edge has an upstream");
  const identity = { pid: process.pid, version: VERSION, started_at: clock.now().toISOString() };
  const places = placesOf(config);
  const stopping = new AbortController();
  const stopped = AbortSignal.any([stopping.signal, options.signal]);
  let upstream: RemoteUpstream | undefined;
  let untried: string | null = null;
  let gateway: SshGateway | undefined;

  function status(): ServerStatus {
    if (stopped.aborted) return { ...identity, state: "stopping", ready: false };
    if (!upstream) return { ...identity, state: "starting", ready: false };
    const { problem } = upstream;
    if (!gateway && (problem === null || problem === untried)) return { ...identity, state: "starting", ready: false };
    const host = publicSshHost(ssh, config.public_url);
    const away = problem === null ? null : `the server is away: ${problem}`;
    return {
      ...identity,
      ...{ state: "running", role: "edge", upstream: `${at?.host}:${at?.port}` },
      ...{ ready: problem === null && gateway !== undefined, checks: { server: problem ?? "ok" } },
      ssh: gateway ? { host, port: gateway.port, fingerprint: gateway.fingerprint, problem: away } : null,
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
    const secret = await readEdgeSecret(at.secret_file);
    upstream = scope.use(connectUpstream({ log }, { host: at.host, port: at.port, secret }));
    untried = upstream.problem;
    const hostKey = await hostKeyOf(upstream, { signal: stopped });
    if (hostKey) {
      const { node, directory } = upstream;
      gateway = scope.use(await openSsh({ log, node, directory: { ...directory, hostKey: async () => hostKey } }, ssh));
      log.info("edge.ready", { version: VERSION, port: gateway.port });
      if (!stopped.aborted) await once(stopped, "abort");
    }
    log.info("edge.stopping");
  }
  log.info("edge.stopped");
}

/** Waits for the server. @returns undefined when a stop was asked for meanwhile. */
async function hostKeyOf(
  upstream: RemoteUpstream,
  { signal }: { readonly signal: AbortSignal },
): Promise<Secret | undefined> {
  for (;;) {
    try {
      await upstream.connected({ signal });
      return await upstream.directory.hostKey();
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!isAppError(error, "unavailable")) throw error;
      await sleep(PAUSE_MS, { signal }).catch(() => {}); // the next round sees it
    }
  }
}
