/**
 * The gateway of a server as a process of its own. Owns the process and its socket: one that a server which was killed
 * has left is ended first, and one that dies is started again.
 */
import { chown, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bootId, isAlive, killAndWait, type Logger, messageOf, type ProcessIdentity, sleep } from "@mags/core";
import { type EdgeUpstream, type SshGateway, startEdgeServer } from "@mags/edge";
import type { Places } from "../installation.ts";
import type { SshConfig } from "../ssh-config.ts";
import { type Listening, type SpawnedGateway, spawnGateway } from "./spawn-gateway.ts";

export interface GatewayProcessOptions {
  /** That of a gateway. */
  readonly program: string;
  readonly places: Pick<Places, "gatewaySockets" | "gatewayProcess">;
  /** What it is to be; null: what the server is. */
  readonly uid: number | null;
  readonly ssh: SshConfig;
}

interface Kept extends Listening {
  readonly spawned: SpawnedGateway;
}

const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 5_000;
/** Whatever ends it after so long, it can be started. */
const SETTLED_MS = 30_000;

/**
 * Resolves when it listens.
 * @throws AppError what it says when it cannot; the signal's reason.
 */
export async function startGatewayProcess(
  { upstream, log }: { readonly upstream: EdgeUpstream; readonly log: Logger },
  { program, places, uid, ssh }: GatewayProcessOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<SshGateway> {
  const { gatewaySockets: directory, gatewayProcess: processFile } = places;
  const socket = join(directory, "server.sock");
  const ending = new AbortController();
  const left = await leftGateway(processFile);
  if (left) await killAndWait(left);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { mode: 0o700 });
  if (uid !== null) await chown(directory, uid, uid);
  await using scope = new AsyncDisposableStack();
  scope.use(await startEdgeServer({ upstream, log }, { path: socket }));
  if (uid !== null) await chown(socket, uid, uid);

  async function begin(port: number, until: AbortSignal): Promise<Kept> {
    const spawned = await spawnGateway(
      program,
      { socket, uid, ssh: { ...ssh, listen: { ...ssh.listen, port } } },
      { log },
    );
    try {
      await writeFile(processFile, JSON.stringify({ ...spawned.identity, boot: await bootId() }), { mode: 0o600 });
      return { ...(await spawned.listening({ signal: until })), spawned };
    } catch (error) {
      await spawned.end();
      throw error;
    }
  }

  /** Begins another, where the one before listened, until it can. */
  async function beginAgain(port: number, pauseMs: number): Promise<Kept> {
    await sleep(pauseMs, { signal: ending.signal });
    try {
      return await begin(port, ending.signal);
    } catch (error) {
      ending.signal.throwIfAborted();
      log.error("ssh.gateway_failed", { error: messageOf(error) });
      return beginAgain(port, Math.min(pauseMs * 2, MOST_PAUSE_MS));
    }
  }

  let current = await begin(ssh.listen.port, signal);
  const { port, fingerprint } = current;
  async function keep(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MOST_PAUSE_MS)) {
      const begunMs = performance.now();
      await current.spawned.ended;
      if (ending.signal.aborted) return;
      log.error("ssh.gateway_ended", { pid: current.spawned.identity.pid });
      if (performance.now() - begunMs > SETTLED_MS) pauseMs = FIRST_PAUSE_MS;
      current = await beginAgain(port, pauseMs);
    }
  }
  const kept = keep().catch(() => {}); // it is ending
  const owned = scope.move();
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    ending.abort();
    await current.spawned.end();
    await kept;
    await owned.disposeAsync();
    await rm(processFile, { force: true });
    await rm(directory, { recursive: true, force: true });
  }
  return {
    port,
    fingerprint,
    [Symbol.asyncDispose]() {
      closing ??= close();
      return closing;
    },
  };
}

/** The gateway that was noted there, if it lives: it ends by itself with its server, unless it does nothing any more. */
export async function leftGateway(processFile: string): Promise<ProcessIdentity | undefined> {
  const text = await readFile(processFile, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const { boot, ...identity } = JSON.parse(text) as ProcessIdentity & { readonly boot: string };
  return boot === (await bootId()) && (await isAlive(identity)) ? identity : undefined;
}
