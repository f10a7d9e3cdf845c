/**
 * The block server of this node, a process of its own: found, started when it is not there, replaced when it is of another
 * build. It outlives this process, because microVMs read their disks from it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Caller,
  type CallName,
  call,
  controlSocketOf,
  type Damage,
  isGone,
  type ParamsOf,
  type ResultOf,
  servedDirectoryOf,
} from "@mags/block-server";
import { AppError, createGate, type Logger, messageOf, sleep } from "@mags/core";
import type { Command } from "@mags/runtime-root";
import { untilDone } from "../host/until-done.ts";
import { endBlockServer, HELLO_MS, type Hello, hello, killBlockServer } from "./block-server-process.ts";

export interface BlockServerProgram {
  /** Runs the block server of a data directory in the foreground. */
  readonly command: Command;
  /** Names what it does: a running one with another name is replaced. */
  readonly build: string;
}

export interface Blocks extends AsyncDisposable {
  /** As the block server's call; when it went away meanwhile it is started, and asked again. */
  readonly call: Caller;
  /** Whether it has something to serve, now or when it is started. */
  keepsServed(): Promise<boolean>;
}

export interface BlocksDeps {
  readonly program: BlockServerProgram;
  /** Files of the control group that it enters, so that it does not end with the server. */
  readonly enter: () => Promise<readonly string[]>;
  /** What it found to be damaged in the object store: each once, while it runs. */
  readonly onDamage: (damage: Damage) => void;
  readonly log: Logger;
}

export interface BlocksTimes {
  /** One that says nothing for so long hangs, and is ended. Default: 30 s. */
  readonly patienceMs?: number;
  /** For one that was started to answer. Default: 20 s. */
  readonly startMs?: number;
  /** How often it is asked. Default: every 5 s. */
  readonly beatMs?: number;
}

const START_MS = 20_000;
const POLL_MS = 20;
const BEAT_MS = 5_000;
const PATIENCE_MS = 30_000;
const ATTEMPTS = 3;
const RESTART = { firstMs: 100, longestMs: 10_000 };

export const blocksDirectory = (dataDirectory: string) => join(dataDirectory, "blocks");

/** It is not started before it is needed. */
export function createBlocks(
  directory: string,
  { program, enter, onDamage, log }: BlocksDeps,
  { patienceMs = PATIENCE_MS, startMs = START_MS, beatMs = BEAT_MS }: BlocksTimes = {},
): Blocks {
  const socket = controlSocketOf(directory);
  const turn = createGate(1);
  const closing = new AbortController();
  /** One that answered, and has not been seen to go since. */
  let sound = false;

  async function start(): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await using output = await open(join(directory, "output.log"), "w", 0o600);
    const { file, args } = program.command;
    const child = spawn(file, [...args], { detached: true, stdio: ["ignore", output.fd, output.fd] });
    await once(child, "spawn");
    child.unref();
    const exited = once(child, "exit");
    try {
      for (const group of await enter()) await writeFile(group, String(child.pid));
      await answers(child);
    } catch (error) {
      // The next try makes another.
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await exited;
      throw error;
    }
    log.info("blocks.started", { pid: child.pid });
  }

  async function answers(child: ChildProcess): Promise<void> {
    for (const begunMs = performance.now(); ; await sleep(POLL_MS)) {
      const found = await hello(socket);
      if (found !== "silent" && found?.build === program.build) return;
      const hasEnded = child.exitCode !== null || child.signalCode !== null;
      if (hasEnded || performance.now() - begunMs > startMs)
        throw new AppError("unavailable", `the block server of this node does not start: see ${directory}/output.log`);
    }
  }

  /** @returns what runs and answers; one that does not is ended after a while. */
  async function found(): Promise<Hello | undefined> {
    for (const begunMs = performance.now(); ; ) {
      const answer = await hello(socket);
      if (answer !== "silent") return answer;
      if (performance.now() - begunMs < patienceMs) continue;
      log.error("blocks.hangs", { directory });
      await killBlockServer(directory);
      return undefined;
    }
  }

  async function ensure(signal: AbortSignal): Promise<void> {
    if (sound) return;
    const leave = await turn.enter({ signal });
    try {
      if (sound) return;
      const running = await found();
      if (running && running.build !== program.build) {
        log.info("blocks.replaced", { build: running.build });
        await endBlockServer(directory);
      }
      if (running?.build !== program.build) await start();
      sound = true;
      void watch();
      void hear();
    } finally {
      leave();
    }
  }

  /** Resolves when it has said nothing for long, and was ended, or when the signal says so. */
  async function untilItHangs(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(beatMs, { signal }).catch(() => {}); // the loop sees it
      if (!signal.aborted && (await found().catch(() => undefined)) === undefined) return;
    }
  }

  /** Until it goes: the next one counts from 1 again. */
  async function hear(): Promise<void> {
    const { signal } = closing;
    for (let heard = 0; ; ) {
      const damages = await call(socket, "damages", { heard }, { signal }).catch(() => []);
      if (damages.length === 0) return;
      for (const damage of damages) onDamage(damage);
      heard = Math.max(...damages.map(({ number }) => number));
    }
  }

  /** One that goes is started again at once: guests wait for it. */
  async function watch(): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([closing.signal, over.signal]);
    await Promise.race([call(socket, "watch", {}, { signal }).catch(() => {}), untilItHangs(signal)]);
    over.abort();
    sound = false;
    const restart = async () => {
      if (!closing.signal.aborted) await ensure(closing.signal);
    };
    const onFailure = (error: unknown) => log.error("blocks.not_started", { error: messageOf(error) });
    await untilDone(restart, { ...RESTART, onFailure, signal: closing.signal });
  }

  return {
    async call<Name extends CallName>(
      name: Name,
      params: ParamsOf<Name>,
      { signal }: { readonly signal: AbortSignal },
    ): Promise<ResultOf<Name>> {
      for (let attempt = 1; ; attempt++) {
        await ensure(signal);
        try {
          return await call(socket, name, params, { signal });
        } catch (error) {
          if (!isGone(error) || signal.aborted || attempt === ATTEMPTS) throw error;
          sound = false;
          log.warn("blocks.went_away", { call: name, error: messageOf(error) });
        }
      }
    },
    keepsServed: async () => (await readdir(servedDirectoryOf(directory)).catch(() => [])).length > 0,
    /** It ends when no microVM reads from it. */
    async [Symbol.asyncDispose]() {
      closing.abort(new AppError("unavailable", "the server is stopping"));
      if (!sound) return;
      const served = await call(socket, "served", {}, { signal: AbortSignal.timeout(HELLO_MS) }).catch(() => undefined);
      if (served?.length === 0) await endBlockServer(directory);
    },
  };
}
