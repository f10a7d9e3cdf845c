/** What an embedded database has on the host, for who looks for things that nobody owns. */
import { clusterDirOf, type PostgresPlace, SOCKET_NAME } from "./place.ts";
import { processesIn, type ServerProcess } from "./processes.ts";
import { CLUSTER_NAME } from "./settings.ts";

/**
 * Whose a name in the directory of the data is. `unfinished`: left by a run that was cut off while it made the cluster; the
 * next one removes it.
 */
export function databaseFileOwner(name: string): "database" | "unfinished" | "unknown" {
  if ([CLUSTER_NAME, "lock", "command"].includes(name)) return "database";
  return name.startsWith(`${CLUSTER_NAME}.new-`) ? "unfinished" : "unknown";
}

export function isDatabaseSocket(name: string): boolean {
  return name === SOCKET_NAME || name === `${SOCKET_NAME}.lock`;
}

/** All processes of the database, whoever started them. */
export function databaseProcesses(place: Pick<PostgresPlace, "dataDir" | "uid">): Promise<ServerProcess[]> {
  return processesIn(clusterDirOf(place), place.uid);
}
