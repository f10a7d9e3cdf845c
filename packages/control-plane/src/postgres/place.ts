import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@mags/core";
import { type Command, launchCommand, type RuntimeRoot } from "@mags/runtime-root";
import { CLUSTER_NAME, INSIDE } from "./settings.ts";

/** Before what runs in guests: every start waits for a commit. */
const NICE = -5;

/** Where an embedded server lives, and as whom. */
export interface PostgresPlace {
  readonly runtimeRoot: RuntimeRoot;
  /** Made when missing. Holds the cluster, its lock and the record of how it was started. */
  readonly dataDir: string;
  /** Made when missing. Its path must leave room for a socket's name within 107 bytes. */
  readonly socketDir: string;
  readonly logFile: string;
  readonly uid: number;
  readonly gid: number;
}

export function clusterDirOf(place: Pick<PostgresPlace, "dataDir">): string {
  return join(place.dataDir, CLUSTER_NAME);
}

/** Held by the magsd that watches over the server. It covers making the cluster and clearing up after a crash, too. */
export function lockPath(place: Pick<PostgresPlace, "dataDir">): string {
  return join(place.dataDir, "lock");
}

export const SOCKET_NAME = ".s.PGSQL.5432";
/** `sun_path` of unix(7), its terminating zero left out. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Both directories are open to the server's own user and to root only: that is what guards the socket.
 * @throws AppError `validation_failed` when the socket's path would be too long.
 */
export async function makePlace(place: PostgresPlace): Promise<void> {
  if (Buffer.byteLength(join(place.socketDir, SOCKET_NAME)) > MAX_SOCKET_PATH_BYTES)
    throw new AppError(
      "validation_failed",
      `the path ${place.socketDir} is too long for a socket: choose a shorter one`,
    );
  for (const dir of [place.dataDir, place.socketDir]) {
    await mkdir(dir, { recursive: true });
    await chown(dir, place.uid, place.gid);
    await chmod(dir, 0o700);
  }
}

export function jailedCommand(place: PostgresPlace, program: string, args: readonly string[]): Command {
  return launchCommand(place.runtimeRoot, {
    program,
    args,
    binds: [
      { source: place.dataDir, target: INSIDE.data, readOnly: false },
      { source: place.socketDir, target: INSIDE.sockets, readOnly: false },
    ],
    uid: place.uid,
    gid: place.gid,
    env: { LANG: "C", TZ: "UTC" },
    scratch: true,
    nice: NICE,
  });
}
