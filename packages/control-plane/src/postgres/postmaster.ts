/**
 * One run of the server process: find it, start it, wait for its end, end it. The server is a session of its own and
 * outlives the process that started it; whoever comes next finds it by the cluster's `postmaster.pid`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError, sleep } from "@mags/core";
import type { Command } from "@mags/runtime-root";
import { clusterDirOf, jailedCommand, type PostgresPlace, SOCKET_NAME } from "./place.ts";
import { isAlive, processesIn, readProcess, type ServerProcess, trySignal } from "./processes.ts";
import { CLUSTER_NAME, INSIDE, SERVER_SETTINGS } from "./settings.ts";

/** What tells processes of a cluster from others. */
type ClusterOwner = Pick<PostgresPlace, "dataDir" | "uid">;

const MAX_LOG_BYTES = 8 * 1024 * 1024;
const POLL_MS = 100;
const FAST_SHUTDOWN_MS = 15_000;
const IMMEDIATE_SHUTDOWN_MS = 5_000;
const KILL_MS = 5_000;

export function serverCommand(place: PostgresPlace): Command {
  const settings = Object.entries(SERVER_SETTINGS).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  return jailedCommand(place, INSIDE.postgres, ["-D", `${INSIDE.data}/${CLUSTER_NAME}`, ...settings]);
}

/** The living server of the cluster, whoever started it. */
export async function findPostmaster(place: ClusterOwner): Promise<ServerProcess | null> {
  const clusterDir = clusterDirOf(place);
  const record = await readFile(join(clusterDir, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number.parseInt(record, 10);
  const members = await processesIn(clusterDir, place.uid);
  return members.find((member) => member.pid === pid) ?? null;
}

/** Starts the server. It is not ready yet. The caller has made sure that no process of the cluster is left. */
export async function spawnPostmaster(place: PostgresPlace): Promise<ServerProcess> {
  // With no process left these are leftovers; a new process may have got the pid they name.
  await rm(join(clusterDirOf(place), "postmaster.pid"), { force: true });
  await rm(join(place.socketDir, `${SOCKET_NAME}.lock`), { force: true });
  const command = serverCommand(place);
  await using logFile = await openLogFile(place.logFile);
  const child = spawn(command.file, command.args, {
    detached: true,
    stdio: ["ignore", logFile.fd, logFile.fd],
    env: {},
    cwd: "/",
  });
  await once(child, "spawn");
  child.unref();
  const process = child.pid === undefined ? null : await readProcess(child.pid);
  if (!process) throw new AppError("unavailable", `PostgreSQL ended at once: see ${place.logFile}`);
  return process;
}

/** Resolves when the process is gone. A look every 100 ms serves children and adopted servers alike. */
export async function untilGone(process: ServerProcess, options: { readonly signal: AbortSignal }): Promise<void> {
  while (await isAlive(process)) await sleep(POLL_MS, options);
}

/** Ends every process of the cluster: fast shutdown, immediate shutdown, kill; then checks that none is left. */
export async function endCluster(place: ClusterOwner, postmaster: ServerProcess | null): Promise<void> {
  if (postmaster) {
    trySignal(postmaster, "SIGINT");
    if (await goneWithin(place, FAST_SHUTDOWN_MS, postmaster)) return;
    trySignal(postmaster, "SIGQUIT");
    if (await goneWithin(place, IMMEDIATE_SHUTDOWN_MS, postmaster)) return;
  }
  for (const member of await processesIn(clusterDirOf(place), place.uid)) trySignal(member, "SIGKILL");
  if (await goneWithin(place, KILL_MS, null)) return;
  throw new AppError("unavailable", `processes of the database in ${place.dataDir} do not end: look for them with ps`);
}

async function goneWithin(place: ClusterOwner, ms: number, postmaster: ServerProcess | null): Promise<boolean> {
  const deadline = performance.now() + ms;
  for (;;) {
    const running = postmaster !== null && (await isAlive(postmaster));
    if (!running && (await processesIn(clusterDirOf(place), place.uid)).length === 0) return true;
    if (performance.now() > deadline) return false;
    await sleep(20);
  }
}

async function openLogFile(path: string): Promise<FileHandle> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size > MAX_LOG_BYTES) await rename(path, `${path}.1`);
  return open(path, "a", 0o640);
}
