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
  /** Of one that answered, and has not been seen to go since; aborted when it is. */
  let sound: AbortController | undefined;
  /** What it has told: the next process counts from 1 again. */
  let told = { pid: 0, heard: 0 };

  async function start(): Promise<Hello> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await using output = await open(join(directory, "output.log"), "w", 0o600);
    const { file, args } = program.command;
    const child = spawn(file, [...args], { detached: true, stdio: ["ignore", output.fd, output.fd] });
    await once(child, "spawn");
    child.unref();
    const exited = once(child, "exit");
    try {
      for (const group of await enter()) await writeFile(group, String(child.pid));
      const started = await answers(child);
      log.info("blocks.started", { pid: child.pid });
      return started;
    } catch (error) {
      // The next try makes another.
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await exited;
      throw error;
    }
  }

  async function answers(child: ChildProcess): Promise<Hello> {
    for (const begunMs = performance.now(); ; await sleep(POLL_MS)) {
      const found = await hello(socket);
      if (found !== "silent" && found?.build === program.build) return found;
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

  async function ensure(signal: AbortSignal): Promise<AbortController> {
    if (sound) return sound;
    const leave = await turn.enter({ signal });
    try {
      if (sound) return sound;
      let running = await found();
      if (running && running.build !== program.build) {
        log.info("blocks.replaced", { build: running.build });
        await endBlockServer(directory);
        running = undefined;
      }
      const { pid } = running ?? (await start());
      if (pid !== told.pid) told = { pid, heard: 0 };
      const begun = new AbortController();
      sound = begun;
      void watch(begun);
      void hear(begun.signal);
      return begun;
    } finally {
      leave();
    }
  }

  /** Who sees that it has gone says so; more than one may. */
  function lose(gone: AbortController): void {
    if (sound === gone) sound = undefined;
    gone.abort();
  }

  /** Resolves when it has said nothing for long, and was ended, or when the signal says so. */
  async function untilItHangs(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(beatMs, { signal }).catch(() => {}); // the loop sees it
      if (!signal.aborted && (await found().catch(() => undefined)) === undefined) return;
    }
  }

  /** Until it goes. */
  async function hear(over: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([closing.signal, over]);
    while (!signal.aborted) {
      try {
        const damages = await call(socket, "damages", { heard: told.heard }, { signal });
        if (signal.aborted) return; // the next asks for them again
        told.heard = Math.max(told.heard, ...damages.map(({ number }) => number));
        for (const damage of damages) onDamage(damage);
      } catch (error) {
        if (signal.aborted) return;
        if (!isGone(error)) log.warn("blocks.not_heard", { error: messageOf(error) });
        await sleep(beatMs, { signal }).catch(() => {}); // the loop sees it
      }
    }
  }

  /** One that goes is started again at once: guests wait for it. */
  async function watch(begun: AbortController): Promise<void> {
    const signal = AbortSignal.any([closing.signal, begun.signal]);
    await Promise.race([call(socket, "watch", {}, { signal }).catch(() => {}), untilItHangs(signal)]);
    lose(begun);
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
        const asked = await ensure(signal);
        try {
          return await call(socket, name, params, { signal });
        } catch (error) {
          if (!isGone(error) || signal.aborted || attempt === ATTEMPTS) throw error;
          lose(asked);
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
