import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { endPostgres } from "@mags/control-plane";
import { AppError, isDiskFull } from "@mags/core";
import { POSTGRES_UID } from "../config.ts";
import { callControlSocket } from "../control-socket.ts";
import { endLeftGateway } from "../gateway/keep-gateway.ts";
import { placesOf } from "../installation.ts";
import { untilServerGone } from "../server-process.ts";
import type { CommandContext } from "./context.ts";

const CALL_MS = 10_000;
/** Longer than all patience that the server has with requests, reports and its database together. */
const STOP_DEADLINE_MS = 90_000;

/** Stops server and database. VMs of jobs go on and are taken over at the next start; with `all` they end too, or sleep. */
export async function stop(context: CommandContext, options: { readonly all: boolean }): Promise<void> {
  const { config, print } = context;
  const stopped = await endServer(context, options);
  const vms = options.all ? await vmDirectories(config.data_dir) : [];
  if (vms.length > 0) throw await vmsGoOn(vms.length, { directory: config.data_dir, ran: stopped !== undefined });
  if (!stopped) return print("magsd is not running");
  const { pid, jobs } = stopped;
  const fate = options.all
    ? `, ${jobs} running jobs ended or put to sleep`
    : jobs > 0
      ? `, VMs of ${jobs} jobs go on`
      : "";
  print(`magsd (pid ${pid}) stopped${fate}`);
}

/**
 * Ends the server and whatever is left of its database and gateway: when this resolves none has a process any more.
 * @returns Which server that was, and how many jobs ran; undefined when none was running.
 */
export async function endServer(
  { config, print, unit }: CommandContext,
  options: { readonly all: boolean },
): Promise<{ readonly pid: number; readonly jobs: number } | undefined> {
  const places = placesOf(config);
  const stopping = await callControlSocket<{ pid: number; jobs: number }>(
    places.controlSocket,
    "POST",
    `/stop?all=${options.all}`,
    CALL_MS,
  );
  if (stopping) await untilServerGone(stopping.pid, { deadlineMs: STOP_DEADLINE_MS });
  // One that crashed would be started again.
  await unit?.stop();
  // A server that was killed, before or now, leaves its database behind.
  const mayHave = config.role === "all" && !config.database.url;
  await endLeftGateway(places.gatewayProcess);
  const left = mayHave && (await endPostgres({ dataDir: places.postgresData, uid: POSTGRES_UID }));
  if (left) print("ended the database of a magsd that was killed");
  return stopping;
}

/** Nothing of them is lost: the next server takes them over. */
async function vmsGoOn(
  count: number,
  { directory, ran }: { readonly directory: string; readonly ran: boolean },
): Promise<AppError> {
  const cure = "magsd start, then magsd stop --all";
  if (ran && (await isDiskFull(directory)))
    return new AppError(
      "disk_full",
      `magsd ended, but the host's disk is full: there is no room for what its VMs have in memory, and they go on (${count}): free some room under ${directory}, then ${cure}`,
    );
  return new AppError(
    "unavailable",
    `magsd ${ran ? "ended too early" : "is not running"}, and its VMs go on (${count}): ${cure}`,
  );
}

function vmDirectories(dataDirectory: string): Promise<string[]> {
  return readdir(join(dataDirectory, "vms")).catch(() => []);
}
