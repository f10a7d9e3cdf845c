import { existsSync } from "node:fs";
import { isAppError, messageOf, silentLogger } from "@mags/core";
import { probeObjectStore } from "@mags/object-store";
import type { ServerConfig } from "../config.ts";
import { placesOf } from "../installation.ts";
import { knownObjectFolder } from "../object-folder.ts";
import { openConfiguredStore } from "../object-store.ts";

/** What `magsd doctor` says of one requirement. */
export interface Finding {
  readonly name: string;
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  readonly cure?: string;
}

export interface CheckOptions {
  /** How long a store that does not answer is asked. */
  readonly patienceMs: number;
}

const name = "object store";

/** Whether objects can be written, read, listed and removed, and conditional writes are enforced: found out by doing it. */
export async function checkObjectStore(
  config: Pick<ServerConfig, "data_dir" | "object_store">,
  { patienceMs }: CheckOptions,
): Promise<Finding> {
  const { kind } = config.object_store;
  const { objects } = placesOf(config);
  if (kind === "filesystem" && !existsSync(objects) && (await knownObjectFolder(config)) === undefined)
    return { name, state: "ok", found: `filesystem, in ${objects}, which the first start makes` };
  const from = performance.now();
  try {
    await using store = await openConfiguredStore(config, { log: silentLogger }, { deadlineMs: patienceMs });
    await probeObjectStore(store, { signal: AbortSignal.timeout(3 * patienceMs) });
    const ms = Math.round(performance.now() - from);
    return {
      name,
      state: "ok",
      found: `${kind}, ${store.location}: reachable, conditional writes are enforced (${ms} ms)`,
    };
  } catch (error) {
    return { name, state: "fail", found: `${kind}: ${reasonOf(error)}`, cure: cureOf(kind, error) };
  }
}

/** Of a call that was given up, why its last attempt failed. */
function reasonOf(error: unknown): string {
  const { cause } = (error ?? {}) as Error;
  return isAppError(error, "unavailable") && isAppError(cause) ? messageOf(cause) : messageOf(error);
}

function cureOf(kind: "filesystem" | "s3", error: unknown): string {
  if (isAppError(error, "object_store_unfit"))
    return "use a store that enforces conditional writes (If-None-Match and If-Match), such as AWS S3 or Ceph's radosgw, or kind filesystem";
  if (isAppError(error, "disk_full"))
    return kind === "s3" ? "make room, or raise the quota of the bucket" : "make room on the disk";
  if (kind === "filesystem" && isAppError(error) && error.details.away === true)
    return "mount it; synced workspaces are opened and synced when it is back";
  if (kind === "filesystem") return "see that root may write data_dir, and that nothing else keeps its lock";
  return isAppError(error, "object_store_refused")
    ? "check object_store: endpoint, region, bucket, access_key and its rights, secret_key"
    : "check object_store.endpoint, and that this machine reaches it";
}
