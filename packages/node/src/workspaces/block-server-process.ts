/** The process of a block server, from outside: whether it answers, and its end. */
import { readFile } from "node:fs/promises";
import { call, controlSocketOf, isGone, processFileOf } from "@mags/block-server";
import { AppError, bootId, isAlive, killAndWait, type ProcessIdentity, sleep } from "@mags/core";

export interface Hello {
  readonly build: string;
  readonly pid: number;
}

export const HELLO_MS = 2_000;
const END_MS = 20_000;
const POLL_MS = 20;

/** @returns what runs; undefined when nothing listens; `silent` when it does not answer. */
export async function hello(socket: string): Promise<Hello | "silent" | undefined> {
  const signal = AbortSignal.timeout(HELLO_MS);
  try {
    return await call(socket, "hello", {}, { signal });
  } catch (error) {
    if (isGone(error)) return undefined;
    if (signal.aborted) return "silent";
    throw error;
  }
}

/** Ends the one that runs there, if one does. Who reads from it waits for the next. */
export async function endBlockServer(directory: string): Promise<void> {
  const socket = controlSocketOf(directory);
  const signal = AbortSignal.timeout(HELLO_MS);
  await call(socket, "quit", {}, { signal }).catch((error: unknown) => {
    if (!isGone(error) && !signal.aborted) throw error;
  });
  for (const begunMs = performance.now(); ; await sleep(POLL_MS)) {
    const answer = await hello(socket);
    if (answer === undefined) return;
    if (performance.now() - begunMs < END_MS) continue;
    if (answer !== "silent") throw new AppError("unavailable", "the block server does not end");
    return await killBlockServer(directory);
  }
}

/** Ends one that does not answer: the very process that has written down that it has this directory, and no other. */
export async function killBlockServer(directory: string): Promise<void> {
  const text = await readFile(processFileOf(directory), "utf8").catch((cause: unknown) => {
    throw new AppError(
      "unavailable",
      `the block server of ${directory} does not answer, and which process it is cannot be read`,
      { cause },
    );
  });
  const { boot, ...identity } = JSON.parse(text) as ProcessIdentity & { readonly boot: string };
  if (boot !== (await bootId()) || !(await isAlive(identity)))
    throw new AppError("unavailable", `something answers for the block server of ${directory} that is none`);
  await killAndWait(identity);
}
