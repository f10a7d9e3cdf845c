import { existsSync } from "node:fs";
import { readdir, readlink, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "@mags/core";
import { removeNode } from "@mags/node";
import { readCliConfig } from "../cli-config.ts";
import { DEFAULT_CONFIG_FILE } from "../config.ts";
import { INSTALLED, isInstalled, placesOf } from "../installation.ts";
import { nodeOptionsOf } from "../parts.ts";
import { isSameServer } from "../same-server.ts";
import { serverStatus } from "../server-process.ts";
import type { CommandContext } from "./context.ts";
import { endServer } from "./stop.ts";

/**
 * Ends everything and removes all that Mags put on this machine: jobs, data, images, programs, settings. Under a
 * configuration of one's own it removes what belongs to that server or edge, and leaves what others may share.
 */
export async function uninstall(context: CommandContext, options: { readonly yes: boolean }): Promise<void> {
  const { config, print } = context;
  const isEdge = config.role === "edge";
  if (!options.yes)
    throw new AppError(
      "validation_failed",
      `this deletes ${isEdge ? "" : "all jobs, their output and "}all data in ${config.data_dir}; if you mean it: magsd uninstall --yes`,
    );
  const withInstallation = isInstalled(config) && context.configFile === DEFAULT_CONFIG_FILE;
  if (withInstallation && process.getuid?.() !== 0)
    throw new AppError("forbidden", "this needs root; try: sudo magsd ...");
  const status = await serverStatus(placesOf(config));
  const running = status?.state === "running" && status.role !== "edge" ? [status.api_url] : [];
  const addresses = [...running, `http://${config.listen.host}:${config.listen.port}`, config.public_url ?? ""];
  const ended = await endServer(context, { all: true });
  if (ended) print(`magsd (pid ${ended.pid}) stopped`);
  if (!isEdge) {
    await removeNode(nodeOptionsOf(config));
    print("removed VMs, networks and rules");
  }
  print(await removeFolder(config.data_dir));
  // One that cannot be read is somebody's own. An edge has no API that it could be for.
  const cli = isEdge ? undefined : await readCliConfig().catch(() => undefined);
  if (cli && Object.keys(cli.entries).length > 0 && isSameServer(cli.apiUrl, addresses)) {
    await rm(cli.path);
    await rmdir(dirname(cli.path)).catch(() => {}); // it may hold other things
    print(`removed ${cli.path}`);
  }
  if (withInstallation) await removeInstallation(context);
  else print(`${INSTALLED.program} is left alone: only the server of ${DEFAULT_CONFIG_FILE} takes it along`);
  const secret = config.upstream?.secret_file;
  if (secret !== undefined && existsSync(secret)) print(`${secret} is left alone: others may use it`);
}

/** @returns what was done, for people: the folder itself is not its owner's to remove when that of its parent is another. */
async function removeFolder(path: string): Promise<string> {
  try {
    await rm(path, { recursive: true, force: true });
    return `removed ${path}`;
  } catch (error) {
    if ((await readdir(path)).length > 0) throw error;
    return `emptied ${path}: who owns ${dirname(path)} can remove it`;
  }
}

async function removeInstallation({ unit, print }: CommandContext): Promise<void> {
  for (const path of [INSTALLED.cache, INSTALLED.configuration]) {
    await rm(path, { recursive: true, force: true });
    print(`removed ${path}`);
  }
  if (unit) {
    await unit.remove();
    print("removed the units of systemd");
  }
  for (const link of INSTALLED.links) {
    const target = await readlink(link).catch(() => "");
    if (!target.startsWith(INSTALLED.program)) continue;
    await rm(link);
    print(`removed ${link}`);
  }
  await rm(INSTALLED.program, { recursive: true, force: true });
  print(`removed ${INSTALLED.program}`);
}
