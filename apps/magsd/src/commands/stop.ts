import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { endPostgres } from "@mags/control-plane";
import { AppError, sleep } from "@mags/core";
import { callControlSocket } from "../control-socket.ts";
import { placesOf } from "../installation.ts";
import type { ServerStatus } from "../status.ts";
import type { CommandContext } from "./context.ts";

const STOP_DEADLINE_MS = 60_000;
const POLL_MS = 50;

/** Stops server and database. VMs of jobs go on and are taken over at the next start; with `all` they end too. */
export async function stop({ config, print }: CommandContext, options: { readonly all: boolean }): Promise<void> {
  const { controlSocket } = placesOf(config);
  const reply = await callControlSocket<{ pid: number; jobs: number }>(
    controlSocket,
    "POST",
    `/stop?all=${options.all}`,
    STOP_DEADLINE_MS,
  );
  if (!reply) {
    await endLeftDatabase({ config, print });
    const vms = options.all ? await vmDirectories(config.data_dir) : [];
    if (vms.length > 0)
      throw new AppError(
        "unavailable",
        `magsd is not running, and its VMs go on (${vms.length}): magsd start, then magsd stop --all`,
      );
    return print("magsd is not running");
  }
  for (
    let waited = 0;
    await callControlSocket<ServerStatus>(controlSocket, "GET", "/status", 5_000);
    waited += POLL_MS
  ) {
    if (waited > STOP_DEADLINE_MS) throw new AppError("unavailable", `magsd (pid ${reply.pid}) does not end`);
    await sleep(POLL_MS);
  }
  const vms = options.all
    ? `, ${reply.jobs} running jobs ended`
    : reply.jobs > 0
      ? `, VMs of ${reply.jobs} jobs go on`
      : "";
  print(`magsd (pid ${reply.pid}) stopped${vms}`);
}

/** The database of a magsd that was killed. */
export async function endLeftDatabase({ config, print }: Pick<CommandContext, "config" | "print">): Promise<void> {
  if (config.database.url) return;
  const ended = await endPostgres({ dataDir: placesOf(config).postgresData, uid: config.database.uid });
  if (ended) print("ended the database of a magsd that was killed");
}

function vmDirectories(dataDirectory: string): Promise<string[]> {
  return readdir(join(dataDirectory, "vms")).catch(() => []);
}
