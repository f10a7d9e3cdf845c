import { stat } from "node:fs/promises";
import { lockFile } from "@mags/core";
import { clusterDirOf, lockPath, type PostgresPlace } from "./place.ts";
import { endCluster, findPostmaster } from "./postmaster.ts";
import { processesIn } from "./processes.ts";

/**
 * Ends a server that nobody watches, as one is left when its magsd was killed. False when there is none.
 * @throws AppError `unavailable` when a magsd watches over it.
 */
export async function endPostgres(place: Pick<PostgresPlace, "dataDir" | "uid">): Promise<boolean> {
  if (!(await stat(clusterDirOf(place)).catch(() => null))) return false;
  await using _lock = await lockFile(lockPath(place));
  if ((await processesIn(clusterDirOf(place), place.uid)).length === 0) return false;
  await endCluster(place, await findPostmaster(place));
  return true;
}
