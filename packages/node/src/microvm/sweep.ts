/** Finds what an earlier process left of microVMs, and removes what no record claims. */
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError, killAndWait, type Logger, messageOf } from "@mags/core";
import type { RuntimeRoot } from "@mags/runtime-root";
import { BLOCKS_GROUP, type Cgroups } from "../host/cgroups.ts";
import { removeUnfinishedWrites } from "../host/files.ts";
import { isOrphan, settleOrphans } from "../host/orphans.ts";
import { processesByUid } from "../host/processes.ts";
import type { NetworkManager } from "../network/network-manager.ts";
import type { MicroVmHostConfig } from "./microvm-host.ts";
import { type FoundRecord, type MicroVmRecord, pathsOf, readRecords } from "./record.ts";

export interface SweepDeps {
  readonly runtime: RuntimeRoot;
  readonly network: Pick<NetworkManager, "list" | "remove">;
  readonly cgroups: Cgroups | null;
  readonly log: Logger;
}

/**
 * @returns The records that are there; what they claim was left alone.
 * @throws AppError `unavailable`, before anything was touched, when a newer version wrote some of them, unless those
 * shall be removed, too.
 */
export async function sweepMicroVms(
  deps: SweepDeps,
  config: Pick<MicroVmHostConfig, "root" | "uidBase" | "capacity">,
  { removeNewer }: { readonly removeNewer: boolean },
): Promise<FoundRecord[]> {
  const { runtime, network, cgroups, log } = deps;
  const { root } = config;
  await settleOrphans({
    isOurUid: (uid) => isOurs(uid - config.uidBase, config),
    // Each root is OBJECTS/runtime-HASH/root, in all releases.
    runtimeRoots: dirname(dirname(runtime.dir)),
  });
  const { found, strays, newer } = await readRecords(root);
  if (newer.length > 0 && !removeNewer)
    throw new AppError(
      "unavailable",
      `a newer version of Mags made VMs that this one does not know (${newer.map((name) => join(root, name)).join(", ")}): install that version again, or end them there with magsd stop --all`,
    );
  const records = found.map(({ record }) => record);
  for (const { id } of records) await removeUnfinishedWrites(pathsOf(root, id).directory);
  await endStrayProcesses(log, config, records);
  for (const name of (await cgroups?.list()) ?? [])
    if (name !== BLOCKS_GROUP && !records.some(({ id }) => id === name))
      await cgroups
        ?.remove(name)
        .catch((error: unknown) => log.warn("cgroup.not_removed", { name, error: messageOf(error) }));
  const claimed = new Set(records.map((record) => record.index));
  for (const index of await network.list()) if (!claimed.has(index)) await network.remove(index);
  for (const name of [...strays, ...newer]) await rm(join(root, name), { recursive: true, force: true });
  return found;
}

async function endStrayProcesses(
  log: Logger,
  config: Pick<MicroVmHostConfig, "uidBase" | "capacity">,
  records: readonly MicroVmRecord[],
): Promise<void> {
  for (const [uid, processes] of await processesByUid()) {
    const index = uid - config.uidBase;
    if (!isOurs(index, config)) continue;
    const claimedPid = records.find((record) => record.index === index)?.process?.pid;
    for (const process of processes.filter(({ pid }) => pid !== claimedPid)) {
      if (index === 0 && !(await isOrphan(process.pid))) continue; // a check of this machine
      log.warn("microvm.stray_process", { pid: process.pid, uid });
      await killAndWait(process);
    }
  }
}

/** 0 is the number of what is run for the node itself. */
function isOurs(index: number, { capacity }: Pick<MicroVmHostConfig, "capacity">): boolean {
  return index >= 0 && index <= capacity;
}
