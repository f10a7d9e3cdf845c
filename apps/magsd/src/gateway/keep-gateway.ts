/**
 * Keeps the process of a gateway: one that dies is started again until it can be. Owns the process and the note that names
 * it, by which one is found that a magsd which was killed has left.
 */
import { open, readFile, rename, rm } from "node:fs/promises";
import { bootId, isAlive, messageOf, type ProcessIdentity, sleep } from "@mags/core";
import type { CertificateFiles } from "@mags/edge";
import { z } from "zod";
import { GATEWAY_UID } from "../config.ts";
import type { UrlConfig } from "../url-config.ts";
import type { GatewayTask } from "./messages.ts";
import { endGateway, type GatewayDeps, type Listening, type SpawnedGateway, spawnGateway } from "./spawn-gateway.ts";

export interface KeptGateway extends Listening, AsyncDisposable {
  /** The operator's certificates, from now on. Each must be usable. */
  certify(certificates: readonly CertificateFiles[]): void;
  /** Why it takes no connections now; null: it does. */
  readonly problem: string | null;
}

export interface KeepOptions {
  /** That of a gateway. */
  readonly program: string;
  /** Names the process while it lives. */
  readonly processFile: string;
  /** Those that are started later listen where the first one did. */
  readonly task: GatewayTask;
  /** Once it listens, until it has ended. Default: one that gives no sign of life for `silentMs`, by default 20 s, is ended. */
  readonly lookAfter?: (spawned: SpawnedGateway) => Promise<void>;
  readonly silentMs?: number;
}

interface Kept extends Listening {
  readonly spawned: SpawnedGateway;
  /** Resolves when it has ended. */
  readonly over: () => Promise<void>;
}

const Noted = z.object({ pid: z.int().positive(), startTime: z.string(), boot: z.string() });

const FIRST_PAUSE_MS = 100;
const MOST_PAUSE_MS = 5_000;
/** Whatever ends it after so long, it can be started. */
const SETTLED_MS = 30_000;
const LOOK_MS = 1_000;

const longer = (pauseMs: number) => Math.min(pauseMs * 2, MOST_PAUSE_MS);

/** What a gateway becomes that root starts. */
export const gatewayUid = (): number | null => (process.getuid?.() === 0 ? GATEWAY_UID : null);

/**
 * Resolves when it listens. One that was left must have been ended. Where the server may be away for long, one that dies or
 * hangs while it waits for it is replaced, too.
 * @throws AppError what it says when it cannot; the signal's reason. Nothing is left then.
 */
export async function keepGateway(
  deps: GatewayDeps,
  { program, processFile, task, silentMs = 20_000, lookAfter }: KeepOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<KeptGateway> {
  const { log } = deps;
  const ending = new AbortController();
  await using scope = new AsyncDisposableStack();
  scope.defer(() => rm(processFile, { force: true }));

  const isFar = !("path" in task.upstream);
  /** It did not say why it could not begin: it was lost as it waited for its server. */
  let wasLost = false;
  let certificates = task.urls?.certificates ?? [];
  let newest: SpawnedGateway | undefined;
  async function begin(at: Listening | null, until: AbortSignal): Promise<Kept> {
    wasLost = false;
    const given = certificates;
    const spawned = await spawnGateway(program, taskAt(task, { at, certificates }), deps);
    newest = spawned;
    if (certificates !== given) spawned.certify(certificates);
    const whole = lookAfter ? undefined : endWhenSilent(spawned, silentMs);
    try {
      await writeWholeFile(processFile, JSON.stringify({ ...spawned.identity, boot: await bootId() }));
      const over = async () => whole ?? lookAfter?.(spawned);
      return { ...(await spawned.listening({ signal: until })), spawned, over };
    } catch (error) {
      wasLost = isFar && spawned.signs() > 0 && !spawned.refused();
      await spawned.end();
      throw error;
    }
  }

  let problem: string | null = null;
  /** Begins another, where the one before listened, until it can. @throws the reason of the end */
  async function beginAgain(at: Listening, firstPauseMs: number): Promise<Kept> {
    const lostMs = performance.now();
    for (let pauseMs = firstPauseMs; ; pauseMs = longer(pauseMs)) {
      await sleep(pauseMs, { signal: ending.signal });
      try {
        const begun = await begin(at, ending.signal);
        problem = null;
        log.info("gateway.back", {
          pid: begun.spawned.identity.pid,
          awayMs: Math.round(performance.now() - lostMs),
        });
        return begun;
      } catch (error) {
        ending.signal.throwIfAborted();
        const before = problem;
        problem = `it cannot be started again: ${messageOf(error)}`;
        if (problem !== before) log.error("gateway.failed", { error: messageOf(error) });
      }
    }
  }

  async function beginFirst(): Promise<Kept> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = longer(pauseMs)) {
      try {
        return await begin(null, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!wasLost) throw error;
        log.error("gateway.lost", { error: messageOf(error), againInMs: pauseMs });
      }
      await sleep(pauseMs, { signal });
    }
  }

  let current = await beginFirst();
  const { ssh, urls } = current;
  async function keep(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = longer(pauseMs)) {
      const begunMs = performance.now();
      await current.over();
      if (ending.signal.aborted) return;
      if (performance.now() - begunMs > SETTLED_MS) pauseMs = FIRST_PAUSE_MS;
      problem = "it has ended, and is started again";
      log.error("gateway.lost", { pid: current.spawned.identity.pid, againInMs: pauseMs });
      current = await beginAgain({ ssh, urls }, pauseMs);
      if (ending.signal.aborted) return current.spawned.end();
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
    ...{ ssh, urls },
    certify(given) {
      certificates = given;
      newest?.certify(given);
    },
    get problem() {
      return problem ?? (current.spawned.stuck() ? "it hangs, and cannot be ended: root needs CAP_KILL for it" : null);
    },
    [Symbol.asyncDispose]() {
      closing ??= close();
      return closing;
    },
  };
}

/** The same, where one listened before. */
function taskAt(
  { ssh, urls, ...task }: GatewayTask,
  { at, certificates }: { readonly at: Listening | null; readonly certificates: readonly CertificateFiles[] },
): GatewayTask {
  const { config } = urls ?? {};
  return {
    ...task,
    ssh: ssh && (at?.ssh ? { ...ssh, listen: { ...ssh.listen, port: at.ssh.port } } : ssh),
    urls: config ? { config: at?.urls ? urlsAt(config, at.urls) : config, certificates } : null,
  };
}

function urlsAt(config: UrlConfig, { port, plainPort }: NonNullable<Listening["urls"]>): UrlConfig {
  const { listen, plain } = config;
  return {
    ...config,
    listen: { ...listen, port },
    plain: plain && { ...plain, port: plainPort ?? plain.port },
  };
}

/** Resolves when it has ended. */
function endWhenSilent(spawned: SpawnedGateway, mostMs: number): Promise<void> {
  let last = spawned.signs();
  const isSilent = () => {
    const before = last;
    last = spawned.signs();
    return last === before;
  };
  return endWhen(isSilent, spawned, mostMs);
}

/** Ends it when it has been silent for so long. Resolves when it has ended. */
export async function endWhen(isSilent: () => boolean, { ended, kill }: SpawnedGateway, mostMs: number): Promise<void> {
  let silentMs = 0;
  // Counted, not measured: where this process stood still, the other may have, too.
  const timer = setInterval(() => {
    silentMs = isSilent() ? silentMs + LOOK_MS : 0;
    if (silentMs >= mostMs) kill();
  }, LOOK_MS);
  await ended;
  clearInterval(timer);
}

export async function endLeftGateway(processFile: string): Promise<void> {
  const left = await leftGateway(processFile);
  if (left) await endGateway(left);
}

/** The gateway that is noted there, if it lives: it ends by itself with its server, unless it does nothing any more. */
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
