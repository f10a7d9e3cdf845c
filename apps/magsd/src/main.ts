import { realpathSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { setPriority } from "node:os";
import { dirname, join, resolve } from "node:path";
import { AppError, countBuffersAsHeap, messageOf, systemClock } from "@mags/core";
import { Command, InvalidArgumentError, Option } from "commander";
import { runBlockServer } from "./block-server.ts";
import type { CommandContext } from "./commands/context.ts";
import { doctor } from "./commands/doctor.ts";
import { makeEdgeSecret } from "./commands/edge-secret.ts";
import { collectImages, importImage, listImages, removeImage } from "./commands/image.ts";
import { leaks } from "./commands/leaks.ts";
import { start } from "./commands/start.ts";
import { status } from "./commands/status.ts";
import { stop } from "./commands/stop.ts";
import { checkStore, exportWorkspace, printStoreStats } from "./commands/store.ts";
import { token } from "./commands/token.ts";
import { uninstall } from "./commands/uninstall.ts";
import { DEFAULT_CONFIG_FILE, loadConfig, type ServerConfig } from "./config.ts";
import { endOnStrayErrors, exitCodeOf, fail } from "./failure.ts";
import { explainFullDisk } from "./full-disk.ts";
import { placesOf } from "./installation.ts";
import { askedToEnd, untilInterrupted } from "./interruption.ts";
import { openLogFile } from "./log-file.ts";
import { createLogger } from "./logger.ts";
import { partsOf } from "./parts.ts";
import { serve } from "./serve.ts";
import { serveEdge } from "./serve-edge.ts";
import { serverUnit } from "./systemd.ts";
import { VERSION } from "./version.ts";

const SERVER_NICE = -10;
/** There is one old file of this size beside the current one. */
const LOG_FILE_BYTES = 16 * 1024 * 1024;

countBuffersAsHeap();
// Whoever reads it may have seen enough.
process.stdout.on("error", () => process.exit(141));
const print = (line: string) => void process.stdout.write(`${line}\n`);

async function context(file: string): Promise<CommandContext> {
  const { config, ...found } = await contextOfAny(file);
  if (config.role === "edge") throw new AppError("not_supported", "this is an edge: that is for its server");
  return { config, ...found };
}

/** For what an edge can do, too. */
async function contextOfAny(file: string): Promise<CommandContext> {
  const configFile = resolve(file); // the server is started in another directory
  const config = await loadConfig(configFile);
  if (config.role !== "edge" && process.getuid?.() !== 0)
    throw new AppError("forbidden", "this needs root; try: sudo magsd ...");
  // The unit is for the installed server; one with a configuration of its own is another.
  const unit = configFile === DEFAULT_CONFIG_FILE ? serverUnit() : undefined;
  return { config, configFile, print, unit, program: realpathSync(process.argv[1] ?? "") };
}

const program = new Command("magsd")
  .description("The Mags server: scripts in microVMs of their own.")
  .version(VERSION, "-v, --version")
  .showHelpAfterError();

/** A command with the option that all have. */
function command(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .addOption(new Option("--config <file>", "configuration file").default(DEFAULT_CONFIG_FILE));
}

command("start", "start the server in the background and wait until it is ready").action(async ({ config }) =>
  start(await contextOfAny(config)),
);

command("stop", "stop server and database; VMs of running jobs go on")
  .option("--all", "end running jobs and their VMs too", false)
  .action(async ({ config, all }) => stop(await contextOfAny(config), { all }));

command("status", "show whether the server runs, and how")
  .option("--json", "as JSON", false)
  .action(async ({ config, json }) => {
    process.exitCode = await status(await contextOfAny(config), { json });
  });

command("doctor", "list every requirement, what was found and the cure for what is missing")
  .option("--leaks", "list instead what is on this machine of Mags and belongs to nothing", false)
  .option("--json", "as JSON", false)
  .action(async ({ config, json, leaks: wantsLeaks }) => {
    process.exitCode = wantsLeaks
      ? await leaks(await context(config), { json })
      : await doctor({ print, load: () => contextOfAny(config) }, { json });
  });

command("token", "print a new API token of the administrator")
  .addOption(
    new Option("--save", "write it to ~/.mags/config.json instead, unless that holds a valid one, or another server's")
      .default(false)
      .conflicts("env"),
  )
  .option(
    "--env",
    'print settings for a shell instead, so that mags talks to this server: eval "$(magsd token --env)"',
    false,
  )
  .option("--name <name>", "name to recognize it by", "local")
  .action(async ({ config, ...options }) => token(await context(config), options));

program
  .command("edge-secret <file>")
  .description("make the secret that the server and edges which run apart share")
  .action((file) => makeEdgeSecret(resolve(file), print));

const image = command("image", "guest images: import, list, rm, gc");
const imageContext = () => context(image.opts<{ config: string }>().config);

image
  .command("import <name> <file>")
  .description("make an image of a tree (tar) or container image (OCI archive, docker save); plain, gzip, zstd or xz")
  .action((name, file) =>
    untilInterrupted(async (signal) => importImage(await imageContext(), { name, file, signal })),
  );

image
  .command("list")
  .description("show all images")
  .option("--json", "as JSON", false)
  .action(async ({ json }) => listImages(await imageContext(), { json }));

image
  .command("rm <name>")
  .description("remove an image that nothing uses")
  .action(async (name) => removeImage(await imageContext(), { name }));

image
  .command("gc")
  .description("remove what has lost its name and is not used any more")
  .action(async () => collectImages(await imageContext()));

const store = command("store", "the object store with the synced workspaces: check, stats, export");
const storeContext = () => context(store.opts<{ config: string }>().config);

store
  .command("check")
  .description("read what lists all versions, and say what is missing or damaged")
  .option("--data", "read all data, too, and check it by its digests", false)
  .action(({ data }) =>
    untilInterrupted(async (signal) => {
      process.exitCode = await checkStore(await storeContext(), { data, signal });
    }),
  );

store
  .command("stats")
  .description("show accounts and workspaces, and what they take")
  .action(() => untilInterrupted(async (signal) => printStoreStats(await storeContext(), { signal })));

store
  .command("export <workspace> <file>")
  .description("write a workspace, by name or id, into a file: its disk as a raw image, or its files as a tar archive")
  .option("--version-number <n>", "an older version (magsd store stats, mags workspace versions)", wholeNumber)
  .addOption(
    new Option(
      "--tar [shape]",
      "a tar archive of what differs from the image: as an OCI layer (deleted files are empty files .wh.NAME), or as the upper layer of an overlayfs",
    )
      .choices(["layer", "overlay"])
      .preset("layer"),
  )
  .action((workspace, file, { versionNumber, tar = "disk" }) =>
    untilInterrupted(async (signal) => {
      process.exitCode = await exportWorkspace(await storeContext(), {
        ...{ workspace, form: tar, file: resolve(file), signal },
        ...(versionNumber !== undefined && { version: versionNumber }),
      });
    }),
  );

command("uninstall", "end everything and remove all that Mags put on this machine")
  .option("--yes", "really", false)
  .action(async ({ config, yes }) => uninstall(await contextOfAny(config), { yes }));

command("serve", "run the server in the foreground")
  .option("--log-file [file]", "log to this file, bounded in size, instead of stdout; without a name to the usual one")
  .action(async ({ config, logFile }) => {
    const settings = await loadConfig(config).catch(endAsMisconfigured);
    const sink =
      logFile === undefined
        ? undefined
        : openLogFile(logFile === true ? await usualLogFile(settings) : logFile, { maxBytes: LOG_FILE_BYTES });
    const log = createLogger(settings.log_level, sink);
    endOnStrayErrors(log);
    const signal = askedToEnd();
    const deps = { clock: systemClock, log };
    try {
      const program = realpathSync(process.argv[1] ?? "");
      const gateway = join(dirname(program), "gateway.mjs");
      if (settings.role === "edge") {
        await serveEdge(deps, settings, { gateway, signal });
        process.exit(0);
      }
      // Guests that compute without end must not keep the server from starting others.
      setPriority(SERVER_NICE);
      const server = { program, gateway, configFile: resolve(config) };
      await serve({ ...deps, parts: partsOf(deps, settings, server) }, settings, { signal });
    } catch (error) {
      fail(log, "server.failed", await explainFullDisk(error, settings.data_dir));
    }
    // Connections to guests may still hold the event loop; everything that must be written is.
    process.exit(0);
  });

program
  .command("block-server", { hidden: true })
  .description("run the node's block server in the foreground; the node starts it")
  .requiredOption("--config <file>", "configuration file")
  .requiredOption("--build <name>", "what the node that starts it takes it for")
  .action(async ({ config, build }) => {
    const settings = await loadConfig(config).catch(endAsMisconfigured);
    await mkdir(settings.data_dir, { recursive: true, mode: 0o711 });
    const log = createLogger(
      settings.log_level,
      openLogFile(placesOf(settings).blockServerLog, { maxBytes: LOG_FILE_BYTES }),
    );
    endOnStrayErrors(log);
    const signal = askedToEnd();
    try {
      await runBlockServer({ clock: systemClock, log }, settings, { build, signal });
    } catch (error) {
      fail(log, "block_server.failed", error);
    }
    process.exit(0);
  });

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new InvalidArgumentError("It must be the number of a version.");
  return Number(text);
}

function endAsMisconfigured(error: unknown): never {
  process.stderr.write(`magsd: ${messageOf(error)}\n`);
  process.exit(exitCodeOf(error));
}

async function usualLogFile(config: ServerConfig): Promise<string> {
  await mkdir(config.data_dir, { recursive: true, mode: 0o711 });
  return placesOf(config).logFile;
}

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`magsd: ${messageOf(error)}\n`);
  process.exit(1);
}
