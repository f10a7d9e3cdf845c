import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bootId, lockFile, silentLogger, systemClock } from "@mags/core";
import { openCgroups } from "./host/cgroups.ts";
import { readMarks, withMarks } from "./host/marks.ts";
import { loadArtifacts } from "./images/artifacts.ts";
import { createMicroVmHost } from "./microvm/microvm-host.ts";
import { createTidier } from "./microvm/tidier.ts";
import { createIndexes } from "./network/indexes.ts";
import { createNamespacePool } from "./network/namespace-pool.ts";
import { networkCapacity, openNetworkManager } from "./network/network-manager.ts";
import type { NodeOptions } from "./node.ts";
import { networkConfigOf } from "./open-network.ts";
import { endBlockServer } from "./workspaces/block-server-process.ts";
import { blocksDirectory } from "./workspaces/blocks.ts";

/**
 * Ends every microVM of a node whose server does not run and removes what they left on the host: processes, namespaces,
 * links, rules. Files of the data directory stay.
 */
export async function removeNode(options: NodeOptions): Promise<void> {
  const { dataDirectory } = options;
  await mkdir(join(dataDirectory, "vms"), { recursive: true, mode: 0o711 });
  await using _lock = await lockFile(join(dataDirectory, "node.lock"));
  await endBlockServer(blocksDirectory(dataDirectory));
  // Under an earlier configuration things may carry other names, when no start has come since.
  const earlier = await readMarks(join(dataDirectory, "marks.json"));
  if (earlier) await clearHost({ ...options, config: withMarks(options.config, earlier) }, { removeNewer: true });
  await clearHost(options, { removeNewer: true });
}

/**
 * As `removeNode`, for who has the node's lock.
 * @throws AppError `unavailable` when a newer version made some of the microVMs, unless those shall be removed, too.
 */
export async function clearHost(
  { dataDirectory, artifactsFile, config }: NodeOptions,
  options: { readonly removeNewer: boolean },
): Promise<void> {
  const { runtime } = await loadArtifacts(artifactsFile);
  const log = silentLogger;
  const boot = await bootId();
  const networkConfig = networkConfigOf(config.network, { dataDirectory, bootId: boot });
  const network = await openNetworkManager({ runtime, log }, networkConfig);
  const capacity = networkCapacity(networkConfig.uplinkRange);
  await using tidier = createTidier({ clock: systemClock, log }, { jobsWaiting: () => false });
  const cgroups = await openCgroups(config.network.prefix).catch(() => null); // then there are none to remove
  const namespaces = createNamespacePool({ network, indexes: createIndexes(capacity), later: tidier.add }, { size: 0 });
  const host = createMicroVmHost(
    { runtime, network, namespaces, tidier, cgroups, log },
    { root: join(dataDirectory, "vms"), uidBase: config.uid_base, capacity, bootId: boot },
  );
  for (const { record } of await host.sweep(options)) await host.discard(record);
  await network.removeHostSide();
  await cgroups?.removeAll();
}
