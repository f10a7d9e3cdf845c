/**
 * The gateway of a server as a process of its own. Owns the process and its socket: one that a server which was killed
 * has left is ended first, and one that dies is started again.
 */
import { chmod, lchown, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { bootId, isAlive, killAndWait, type Logger, messageOf, type ProcessIdentity, sleep } from "@mags/core";
import { type EdgeUpstream, type SshGateway, startEdgeServer } from "@mags/edge";
import { z } from "zod";
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
  /** It is asked so often whether it is there, and ended when it has not answered for some times. Default 5 s. */
  readonly pingMs?: number;
}

interface Kept extends Listening {
  readonly spawned: SpawnedGateway;
}

const Noted = z.object({ pid: z.int().positive(), startTime: z.string(), boot: z.string() });

const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 5_000;
/** Whatever ends it after so long, it can be started. */
const SETTLED_MS = 30_000;
const LOOK_MS = 1_000;

/**
 * Resolves when it listens.
 * @throws AppError what it says when it cannot; the signal's reason.
 */
export async function startGatewayProcess(
  { upstream, log }: { readonly upstream: EdgeUpstream; readonly log: Logger },
  { program, places, uid, ssh, pingMs = 5_000 }: GatewayProcessOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<SshGateway> {
  const { gatewaySockets: directory, gatewayProcess: processFile } = places;
  const socket = join(directory, "server.sock");
  const ending = new AbortController();
  const left = await leftGateway(processFile);
  if (left) await killAndWait(left);
  await using scope = new AsyncDisposableStack();
  // The folder stays the server's: what its gateway could change there it could turn against it.
  const removeDirectory = () => rm(directory, { recursive: true, force: true });
  await removeDirectory();
  scope.defer(removeDirectory);
  scope.defer(() => rm(processFile, { force: true }));
  await mkdir(directory, { mode: 0o700 });
  const server = scope.use(await startEdgeServer({ upstream, log }, { path: socket, pinging: { pingMs } }));
  await chmod(socket, 0o600);
  if (uid !== null) await lchown(socket, uid, uid);
  await chmod(directory, 0o711);

  async function begin(port: number, until: AbortSignal): Promise<Kept> {
    const spawned = await spawnGateway(
      program,
      { socket, uid, ssh: { ...ssh, listen: { ...ssh.listen, port } } },
      { log },
    );
    try {
      await writeWholeFile(processFile, JSON.stringify({ ...spawned.identity, boot: await bootId() }));
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

  /** One that does not answer any more is ended. */
  async function untilOver({ ended, kill }: SpawnedGateway): Promise<void> {
    let silentMs = 0;
    const timer = setInterval(() => {
      silentMs = server.edges().length === 0 ? silentMs + LOOK_MS : 0;
      if (silentMs >= pingMs) kill();
    }, LOOK_MS);
    await ended;
    clearInterval(timer);
  }

  let current = await begin(ssh.listen.port, signal);
  const { port, fingerprint } = current;
  async function keep(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MOST_PAUSE_MS)) {
      const begunMs = performance.now();
      await untilOver(current.spawned);
      if (ending.signal.aborted) return;
      log.error("ssh.gateway_lost", { pid: current.spawned.identity.pid });
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
  const noted = Noted.safeParse(parseJson(text));
  if (!noted.success) return undefined; // it is written whole, so no server has noted one there
  const { boot, ...identity } = noted.data;
  return boot === (await bootId()) && (await isAlive(identity)) ? identity : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function writeWholeFile(path: string, text: string): Promise<void> {
  const made = `${path}.new`;
  await using file = await open(made, "w", 0o600);
  await file.writeFile(text);
  await file.sync();
  await rename(made, path);
}
