/** Real microVMs for tests, without a server around them: host, template, one parked clone. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bootId, type LogFields, type Logger, silentLogger, systemClock } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { createOverlayStore } from "../../src/disks/overlay-store.ts";
import { openCgroups } from "../../src/host/cgroups.ts";
import { openWorkDirectories } from "../../src/host/work-directories.ts";
import { loadArtifacts } from "../../src/images/artifacts.ts";
import type { Image } from "../../src/images/image.ts";
import { createMicroVmHost, type MicroVmHost } from "../../src/microvm/microvm-host.ts";
import { createTidier } from "../../src/microvm/tidier.ts";
import { parseCidr } from "../../src/network/addresses.ts";
import { createIndexes } from "../../src/network/indexes.ts";
import { createNamespacePool } from "../../src/network/namespace-pool.ts";
import { openNetworkManager } from "../../src/network/network-manager.ts";
import { type CloneDeps, type ParkedClone, parkClone } from "../../src/pool/clone.ts";
import { createTemplateStore, type Template, type TemplateStore } from "../../src/templates/template-store.ts";
import type { BlockServerProgram } from "../../src/workspaces/blocks.ts";

export const ARTIFACTS = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";
const UID_BASE = 1_940_000_000;
const CAPACITY = 50;
export const SIZE = { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 2, egress: "filtered" } as const;

/** A block server that keeps its object store in the data directory. */
export function blockServerOf(dataDirectory: string): BlockServerProgram {
  const args = [join(import.meta.dirname, "block-server.program.ts"), dataDirectory];
  return { command: { file: process.execPath, args }, build: "test" };
}

export interface TestHost extends AsyncDisposable {
  readonly host: MicroVmHost;
  readonly deps: CloneDeps;
  readonly template: Template;
  /** Keeps one template beyond those in use. */
  readonly templates: TemplateStore;
  readonly image: Image;
  /** Names of the events logged so far. */
  readonly logged: readonly string[];
  park(options: { readonly mounted: boolean }): Promise<ParkedClone>;
}

export async function openTestHost(): Promise<TestHost> {
  await using scope = new AsyncDisposableStack();
  const { path } = scope.use(await makeTempDir());
  for (const name of ["vms", "templates", "disks"]) await mkdir(join(path, name));
  const logged: string[] = [];
  const take = (event: string, _fields?: LogFields) => void logged.push(event);
  const log: Logger = { ...silentLogger, info: take, warn: take, error: take };
  const clock = systemClock;
  const artifacts = await loadArtifacts(ARTIFACTS);
  const { runtime } = artifacts;
  const boot = await bootId();
  const networkConfig = {
    prefix: "tvm",
    uplinkRange: parseCidr("10.250.0.0/24"),
    exceptions: [],
    denied: [],
    caps: { bandwidthMbit: 0, maxConnections: 100, newConnectionsPerSecond: 100 },
    forwardingRecord: join(path, "forwarding"),
    bootId: boot,
  };
  const network = await openNetworkManager({ runtime, log }, networkConfig);
  scope.defer(() => network.removeHostSide());
  const tidier = scope.use(createTidier({ clock, log }, { jobsWaiting: () => false }));
  const cgroups = await openCgroups("tvm").catch(() => null);
  scope.defer(async () => cgroups?.removeAll());
  const namespaces = scope.use(
    createNamespacePool({ network, indexes: createIndexes(CAPACITY), later: tidier.add }, { size: 0 }),
  );
  const host = createMicroVmHost(
    { runtime, network, namespaces, tidier, cgroups, log },
    { root: join(path, "vms"), uidBase: UID_BASE, capacity: CAPACITY, bootId: boot },
  );
  scope.defer(async () => {
    for (const { record } of await host.sweep()) await host.discard(record);
  });
  const work = await openWorkDirectories(join(path, "work"));
  const templates = createTemplateStore(
    { artifacts, host, work, clock, log },
    {
      root: join(path, "templates"),
      accelerator: "tcg",
      operator: { caCertificates: [], environment: {}, files: [] },
      keep: 1,
      bootDeadlineMs: 120_000,
    },
  );
  const image = artifacts.images.get(SIZE.image);
  if (!image) throw new Error(`there is no image ${SIZE.image}`);
  const template = await templates.get(image, SIZE);
  const overlays = createOverlayStore(join(path, "disks"), {
    runtime,
    work,
    defaultDisk: artifacts.seedDisk,
    uid: UID_BASE,
  });
  const diskIo = { bytesPerSecond: 0, operationsPerSecond: 0 };
  const deps: CloneDeps = { runtime, host, overlays, diskIo, maxDiskGiB: SIZE.diskGiB, clock, log };
  const owned = scope.move();
  return {
    host,
    deps,
    template,
    templates,
    image,
    logged,
    park: ({ mounted }) => parkClone(deps, template, { mounted, size: SIZE }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
