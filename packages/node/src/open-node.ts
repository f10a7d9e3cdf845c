/** Wires a node and brings it up: adopts what lives, ends what nobody owns, keeps the pool full. */
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { AppError, bootId, type Clock, createGate, type Logger, lockFile, messageOf, untilAborted } from "@mags/core";
import type { NodeDescription, NodeRuntime, NodeUpdate, UploadSource } from "@mags/domain";
import type { NodeConfig } from "./config.ts";
import { createOverlayStore } from "./disks/overlay-store.ts";
import { openExecSessions } from "./execs/exec-sessions.ts";
import { execIn } from "./guests/exec.ts";
import { createGuestFiles } from "./guests/files.ts";
import { createGuests } from "./guests/guests.ts";
import { BLOCKS_GROUP, openCgroups } from "./host/cgroups.ts";
import { claimDirectory } from "./host/claim-directory.ts";
import { removeUnfinishedWrites } from "./host/files.ts";
import { changeMarks, marksOf, withMarks } from "./host/marks.ts";
import { hostMemory } from "./host/memory.ts";
import { openWorkDirectories } from "./host/work-directories.ts";
import { loadArtifacts } from "./images/artifacts.ts";
import { checkImage } from "./images/check-image.ts";
import { DEFAULT_IMAGE } from "./images/image.ts";
import { createImages, type Images } from "./images/image-administration.ts";
import { createImageSource } from "./images/image-source.ts";
import { imagesDirectory, openImageStore } from "./images/image-store.ts";
import { sweepBuilds } from "./images/prepare-import.ts";
import { createCapacity } from "./jobs/capacity.ts";
import { createEgressWatch } from "./jobs/egress-watch.ts";
import { createJobRunner } from "./jobs/job-runner.ts";
import { openOutcomeStore } from "./jobs/outcome-store.ts";
import { footprintAtRest } from "./leaks/at-rest.ts";
import type { NodeFootprint } from "./leaks/trace.ts";
import { createLogStore } from "./logs/log-store.ts";
import { startRetention } from "./logs/retention.ts";
import { createMicroVmHost } from "./microvm/microvm-host.ts";
import { createTidier } from "./microvm/tidier.ts";
import { createIndexes } from "./network/indexes.ts";
import { createNamespacePool } from "./network/namespace-pool.ts";
import { openNetwork } from "./open-network.ts";
import { adoptParked } from "./pool/adopt.ts";
import { createWarmPool } from "./pool/warm-pool.ts";
import { prepareTemplates } from "./prepare-templates.ts";
import { clearHost } from "./remove-node.ts";
import { createSandboxStore, sandboxesDirectory } from "./sandboxes/sandbox-record.ts";
import { createSandboxes, sandboxesIn } from "./sandboxes/sandboxes.ts";
import { type BlockServerProgram, blocksDirectory, createBlocks } from "./workspaces/blocks.ts";
import { createWorkspaceRuntime } from "./workspaces/workspace-runtime.ts";

export interface NodeOptions {
  /** Holds microVMs, templates, disks, output. Short: sockets lie below it. */
  readonly dataDirectory: string;
  readonly artifactsFile: string;
  readonly config: NodeConfig;
}

export interface Node extends NodeRuntime {
  readonly images: Images;
  /**
   * Ends the node's part of this process. Parked clones are removed; microVMs of jobs run on and are adopted by the next
   * process.
   */
  close(): Promise<void>;
  /** What it has on the host now. */
  footprint(): NodeFootprint;
  /** @throws AppError `unavailable` with the reason when it cannot make microVMs. */
  checkReady(): void;
  /**
   * Ties the data directory to an installation's database.
   * @throws AppError `unavailable` when it belongs to another installation, or served a later epoch of this one: the
   * database is an old copy then.
   */
  claim(installation: { readonly id: string; readonly epoch: number }): Promise<void>;
}

/** Memory of the host that microVMs never get, where nothing else is configured: a quarter, and no more than this. */
const MOST_FLOOR_MIB = 1024;
const BLOCKS_LIMITS = { memoryBytes: 1024 ** 3, cpuWeight: 100, pids: 256 };
/** What a parked clone of 1 GiB takes of the host's memory, measured. */
const CLONE_MEMORY_MIB = 64;
const MIB = 1024 ** 2;

/**
 * The signal ends the start-up: it rejects soon then, and microVMs of jobs go on for the next one.
 * @throws AppError when the node cannot work here; the signal's reason.
 */
export async function openNode(
  deps: { readonly uploads: UploadSource; readonly clock: Clock; readonly log: Logger },
  options: NodeOptions & { readonly blockServer: BlockServerProgram },
  { signal }: { readonly signal: AbortSignal },
): Promise<Node> {
  const { clock, log } = deps;
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
  const gate = createGate(config.starts_at_once || availableParallelism());
  const jobsWaiting = () => gate.waiting > 0 || gate.inside > 0;
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

  const imageStore = await openImageStore(imagesDirectory(dataDirectory), { installed: artifacts.images, log });
  await sweepBuilds(dataDirectory);
  const { accelerator, reason, templates, pooledSize } = await prepareTemplates(
    { clock, log, host, work, artifacts },
    options,
    { image: imageStore.get, signal },
  );
  await templates.prune();

  const memory = hostMemory();
  const memoryFloorMiB = config.memory_floor_mb || Math.min(MOST_FLOOR_MIB, Math.floor(memory.totalMiB / 4));
  const budgetMiB = Math.max(0, Math.floor((memory.totalMiB - memoryFloorMiB) * config.memory_overcommit));
  const capacity = createCapacity(
    { budgetMiB, floorMiB: memoryFloorMiB },
    { availableMiB: () => hostMemory().availableMiB },
  );
  const overlays = createOverlayStore(directory("disks"), {
    runtime,
    work,
    defaultDisk: artifacts.seedDisk,
    uid: config.uid_base,
  });
  const logs = createLogStore(directory("logs"), { clock }, { maxBytesPerJob: config.max_output_bytes });
  const outcomes = await openOutcomeStore(directory("outcomes"), { log });
  const listeners: ((update: NodeUpdate) => void)[] = [];
  const report = (update: NodeUpdate) => {
    for (const listener of listeners) listener(update);
  };
  const egressWatch = scope.use(createEgressWatch({ denials: egress.denials, report, clock, log }));
  const diskIo = {
    bytesPerSecond: config.disk_io.bytes_per_second,
    operationsPerSecond: config.disk_io.operations_per_second,
  };
  const blocks = scope.use(
    createBlocks(blocksDirectory(dataDirectory), {
      program: options.blockServer,
      enter: async () => (await cgroups?.create(BLOCKS_GROUP, BLOCKS_LIMITS)) ?? [],
      onDamage: (damage) => sandboxes.tellDamage(damage),
      log,
    }),
  );
  const imageSource = scope.use(createImageSource({ store: imageStore, blocks, clock, log }));
  const cloneDeps = { runtime, host, overlays, diskIo, maxDiskGiB: config.max_disk_gb, clock, log };
  const pool = createWarmPool(
    {
      ...cloneDeps,
      template: () => templates.get(imageStore.get(DEFAULT_IMAGE), pooledSize),
      jobsWaiting,
    },
    {
      minIdle: config.pool.min_idle,
      maxIdle: Math.max(config.pool.max_idle, config.pool.min_idle),
      slotShare: config.pool.slot_share,
      size: pooledSize,
      memoryFloorMiB,
      cloneMemoryMiB: CLONE_MEMORY_MIB,
    },
  );
  const guests = createGuests();
  const sandboxes = createSandboxes({
    ...cloneDeps,
    blocks,
    store: createSandboxStore(sandboxesDirectory(dataDirectory), work),
    templates,
    accelerator,
    runtimeDigest: artifacts.runtimeDigest,
    egress,
    egressWatch,
    capacity,
    gate,
    guests,
    hydration: {
      bytesPerSecond: config.hydration.mb_per_second * MIB,
      afterMs: config.hydration.after_seconds * 1000,
    },
    report,
  });
  const execs = scope.use(
    await openExecSessions({ guests, log }, directory("execs"), {
      perGuest: config.execs.per_vm,
      spoolBytes: config.execs.max_unread_bytes,
      accountSpoolBytes: config.execs.max_unread_bytes_per_account,
      detachMs: config.execs.detach_seconds * 1000,
      keptMs: config.execs.kept_seconds * 1000,
    }),
  );
  guests.addOwner(execs.owner);
  const runner = createJobRunner({
    ...cloneDeps,
    blocks,
    guests,
    sandboxes,
    uploads: deps.uploads,
    pool,
    templates,
    images: imageSource,
    pooledSize: { ...pooledSize, digest: imageStore.get(DEFAULT_IMAGE).digest },
    logs,
    outcomes,
    egress,
    egressWatch,
    capacity,
    gate,
    report,
  });

  const images = createImages({
    store: imageStore,
    installed: artifacts.images,
    usersOf: (name) => [...runner.jobsIn(name).map((jobId) => `job ${jobId}`), ...sandboxesIn(sandboxes.all(), name)],
    digestsInUse: async () => {
      const ofTemplates = await templates.imagesInUse();
      return ofTemplates && new Set([...ofTemplates, ...sandboxes.all().map(({ record }) => record.image.digest)]);
    },
    removeTemplates: templates.removeOf,
    check: (image, signals) => checkImage({ ...cloneDeps, templates, size: pooledSize }, image, signals),
    now: clock.now,
  });

  const currentTemplate = await templates.get(imageStore.get(DEFAULT_IMAGE), pooledSize);
  scope.use(runner);
  scope.use(sandboxes);
  scope.use(pool);
  await untilAborted(runner.resume(found), signal);
  execs.settle();
  scope.use(
    startRetention(
      directory("logs"),
      { clock, log, isLive: (jobId) => runner.observe().some((job) => job.jobId === jobId) },
      { days: config.output_retention_days },
    ),
  );
  for (const { record, binding } of found) {
    if (binding) continue;
    signal.throwIfAborted();
    const clone = await adoptParked({ host, log }, record, { templateKey: currentTemplate.key });
    if (clone) pool.adopt(clone);
  }
  pool.start();
  imageSource.begin(images);
  sandboxes.start();

  const describe = (): NodeDescription => ({
    accelerator,
    acceleratorReason: reason,
    images: imageStore.names(),
    defaultVcpus: pooledSize.vcpus,
    maxVcpus: config.max_vcpus,
    defaultMemoryMiB: config.default_memory_mb,
    // However small the host, a job of the default size runs, alone.
    maxMemoryMiB: Math.max(config.default_memory_mb, Math.min(config.max_memory_mb, budgetMiB)),
    maxDiskGiB: config.max_disk_gb,
  });
  log.info("node.ready", { ...describe(), found: found.length });
  const resources = scope.move();

  return {
    images,
    describe,
    poolStatus: () => ({
      idle: pool.idle,
      busy: runner.busy,
      minIdle: config.pool.min_idle,
      max: 0,
      queued: runner.waiting,
      awaitingMemory: capacity.waiting,
      freeMemoryMiB: budgetMiB - capacity.reservedMiB,
    }),
    start: runner.start,
    observe: runner.observe,
    stop: runner.stop,
    acknowledge: runner.acknowledge,
    exec: async (guest, request, signals) => execIn(guests, guest, request, signals),
    files: createGuestFiles(guests),
    startExec: execs.startExec,
    attachExec: execs.attachExec,
    openLog: logs.openTail,
    observeSandboxes: () => sandboxes.all().map((sandbox) => sandbox.observe()),
    sleepSandbox: sandboxes.sleepSandbox,
    wakeSandbox: sandboxes.wakeSandbox,
    setSandboxPolicy: sandboxes.setSandboxPolicy,
    growSandbox: sandboxes.growSandbox,
    releaseSandbox: runner.releaseSandbox,
    syncSandbox: sandboxes.syncSandbox,
    ...createWorkspaceRuntime(blocks),
    onUpdate: (listener: (update: never) => void) => void listeners.push(listener as (update: NodeUpdate) => void),
    footprint: () => ({
      microVms: host.list().map((microVm) => ({ ...microVm, jobId: null })),
      preparedIndexes: namespaces.prepared,
      work: work.list(),
      execs: execs.ids(),
      outcomes: runner.observe().flatMap(({ jobId, state }) => (state === "ended" ? [jobId] : [])),
      sandboxes: sandboxes.all().map(({ id }) => id),
    }),
    checkReady() {
      if (pool.failure !== undefined && pool.idle === 0)
        throw new AppError("unavailable", `no VM can be made: ${pool.failure}`);
    },
    claim: (installation) => claimDirectory(directory("installation.json"), installation),
    close: () => resources.disposeAsync(),
  };
}
