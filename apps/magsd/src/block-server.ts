/** The block server of this machine's node: which program it is, and running it. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { startBlockServer } from "@mags/block-server";
import { AppError, type Clock, type Logger, untilAborted } from "@mags/core";
import { type BlockServerProgram, blocksDirectory } from "@mags/node";
import { graceMsOf, type ServerConfig } from "./config.ts";
import { placesOf } from "./installation.ts";
import { openConfiguredStore } from "./object-store.ts";

/** What is run, by which command line. */
export interface ServerProgram {
  readonly program: string;
  readonly configFile: string;
}

const MIB = 1024 ** 2;
/** Who waits for the store asks again: nothing is gained by more patience here. */
const STORE_DEADLINE_MS = 10_000;

/** A block server of another program, or of another configuration, is replaced. */
export async function blockServerOf(
  config: ServerConfig,
  { program, configFile }: ServerProgram,
): Promise<BlockServerProgram> {
  const build = await buildOf(config, program);
  // It is told its build: the program may be another by the time it is started.
  const args = [program, "block-server", "--config", configFile, "--build", build];
  return { command: { file: process.execPath, args }, build };
}

async function buildOf(config: ServerConfig, program: string): Promise<string> {
  const code = createHash("sha256").update(await readFile(program));
  return `${code.digest("hex")}-${settingsOf(config)}`;
}

/** A digest of what it does for its node: in which store, with which limits. */
function settingsOf({ object_store: store, node }: ServerConfig): string {
  const settings = Object.entries(store).map(([key, value]) => [
    key,
    typeof value === "object" && value !== null ? value.reveal() : value,
  ]);
  return createHash("sha256")
    .update(JSON.stringify([...settings, node.garbage_hours, node.block_cache_mb]))
    .digest("hex");
}

/**
 * Runs until it is asked to end, by its node or by the signal.
 * @param options.build  What it says that it is.
 * @throws AppError `unavailable` when the configuration is another than that of the node that starts it.
 */
export async function runBlockServer(
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  config: ServerConfig,
  { build, signal }: { readonly build: string; readonly signal: AbortSignal },
): Promise<void> {
  // Disks that are read would be looked for in another store.
  if (!build.endsWith(`-${settingsOf(config)}`))
    throw new AppError(
      "unavailable",
      "the configuration has changed since the server started: restart the server (magsd stop, magsd start)",
    );
  await using store = await openConfiguredStore(config, { log }, { deadlineMs: STORE_DEADLINE_MS });
  await using server = await startBlockServer(
    { store, clock, log },
    {
      directory: blocksDirectory(placesOf(config).nodeDirectory),
      build,
      cacheBytes: config.node.block_cache_mb * MIB,
      graceMs: graceMsOf(config),
    },
  );
  await untilAborted(server.asked, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
