/**
 * Takes the data directory, and what the node has on the host: network, control groups, microVMs. What an earlier process
 * left and nobody owns is removed; microVMs that a record claims are found, and left as they are.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bootId, type Clock, type Logger, lockFile, messageOf } from "@mags/core";
import { type Cgroups, openCgroups } from "./host/cgroups.ts";
import { removeUnfinishedWrites } from "./host/files.ts";
import { changeMarks, marksOf, withMarks } from "./host/marks.ts";
import { openWorkDirectories, type WorkDirectories } from "./host/work-directories.ts";
import { type Artifacts, loadArtifacts } from "./images/artifacts.ts";
import { footprintAtRest } from "./leaks/at-rest.ts";
import { createMicroVmHost, type MicroVmHost } from "./microvm/microvm-host.ts";
import type { FoundRecord } from "./microvm/record.ts";
import { createTidier } from "./microvm/tidier.ts";
import type { Egress } from "./network/egress.ts";
import { createIndexes } from "./network/indexes.ts";
import { createNamespacePool, type NamespacePool } from "./network/namespace-pool.ts";
import type { NodeOptions } from "./node.ts";
import { openNetwork } from "./open-network.ts";
import { clearHost } from "./remove-node.ts";

export interface OpenedHost extends AsyncDisposable {
  readonly artifacts: Artifacts;
  readonly egress: Egress;
  /** Null where the host has none for this node. */
  readonly cgroups: Cgroups | null;
  readonly namespaces: NamespacePool;
  readonly host: MicroVmHost;
  readonly work: WorkDirectories;
  /** MicroVMs of an earlier process. */
  readonly found: readonly FoundRecord[];
}

/** @throws AppError when the node cannot work here; the signal's reason. */
export async function openHost(
  deps: { readonly jobsWaiting: () => boolean; readonly clock: Clock; readonly log: Logger },
  options: NodeOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<OpenedHost> {
  const { jobsWaiting, clock, log } = deps;
  const { config, dataDirectory } = options;
  await using scope = new AsyncDisposableStack();
  const directory = (name: string) => join(dataDirectory, name);
  for (const name of ["vms", "templates", "logs"]) await mkdir(directory(name), { recursive: true, mode: 0o711 });
  scope.use(await lockFile(directory("node.lock")));
  await removeUnfinishedWrites(dataDirectory);
  await changeMarks(directory("marks.json"), marksOf(config), {
    goingOn: async () => (await footprintAtRest(dataDirectory)).microVms.filter(({ jobId }) => jobId !== null).length,
    clear: (earlier) => clearHost({ ...options, config: withMarks(config, earlier) }, { removeNewer: false }),
  });

  const artifacts = await loadArtifacts(options.artifactsFile);
  const { runtime } = artifacts;
  const boot = await bootId();
  const network = await openNetwork({ runtime, clock, log }, config.network, { dataDirectory, bootId: boot });
  const { manager, egress } = network;
  const tidier = scope.use(createTidier({ clock, log }, { jobsWaiting }));
  const cgroups = await openCgroups(config.network.prefix).catch((error: unknown) => {
    log.warn("cgroups.unavailable", { error: messageOf(error) });
    return null;
  });
  const namespaces = scope.use(
    createNamespacePool(
      { network: manager, indexes: createIndexes(network.capacity), later: tidier.add },
      { size: config.network.prepared },
    ),
  );
  const host = scope.use(
    createMicroVmHost(
      { runtime, network: manager, namespaces, tidier, cgroups, log },
      { root: directory("vms"), uidBase: config.uid_base, capacity: network.capacity, bootId: boot },
    ),
  );
  const found = await host.sweep();
  const work = await openWorkDirectories(directory("work"));
  signal.throwIfAborted();
  scope.use(await network.startNameService(found));
  namespaces.start();
  const owned = scope.move();
  return {
    ...{ artifacts, egress, cgroups, namespaces, host, work, found },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
