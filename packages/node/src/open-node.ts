/** Wires a node and brings it up: adopts what lives, ends what nobody owns, keeps the pool full. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { AppError, type Clock, createGate, type Logger, untilAborted } from "@mags/core";
import type { NodeUpdate, UploadSource } from "@mags/domain";
import { createOverlayStore } from "./disks/overlay-store.ts";
import { openExecSessions } from "./execs/exec-sessions.ts";
import { createGuests } from "./guests/guests.ts";
import { BLOCKS_GROUP } from "./host/cgroups.ts";
import { claimDirectory } from "./host/claim-directory.ts";
import { hostMemory } from "./host/memory.ts";
import { checkImage } from "./images/check-image.ts";
import { DEFAULT_IMAGE } from "./images/image.ts";
import { createImages } from "./images/image-administration.ts";
import { createImageSource } from "./images/image-source.ts";
import { imagesDirectory, openImageStore } from "./images/image-store.ts";
import { sweepBuilds } from "./images/prepare-import.ts";
import { createCapacity } from "./jobs/capacity.ts";
import { createEgressWatch } from "./jobs/egress-watch.ts";
import { createJobRunner } from "./jobs/job-runner.ts";
import { openOutcomeStore } from "./jobs/outcome-store.ts";
import { createLogStore } from "./logs/log-store.ts";
import { startRetention } from "./logs/retention.ts";
import type { Node, NodeOptions } from "./node.ts";
import { createNodeRuntime } from "./node-runtime.ts";
import { openHost } from "./open-host.ts";
import { adoptParked } from "./pool/adopt.ts";
import { createWarmPool } from "./pool/warm-pool.ts";
import { prepareTemplates } from "./prepare-templates.ts";
import { createSandboxStore, sandboxesDirectory } from "./sandboxes/sandbox-record.ts";
import { createSandboxes, sandboxesIn } from "./sandboxes/sandboxes.ts";
import { createUpdates } from "./updates.ts";
import { type BlockServerProgram, blocksDirectory, createBlocks } from "./workspaces/blocks.ts";

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
  const gate = createGate(config.starts_at_once || availableParallelism());
  const jobsWaiting = () => gate.waiting > 0 || gate.inside > 0;
  const opened = scope.use(await openHost({ jobsWaiting, clock, log }, options, { signal }));
  const { artifacts, egress, cgroups, host, work, found } = opened;
  const { runtime } = artifacts;

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
  const { report, listen } = createUpdates();
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
    dataDirectory,
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
    dataDirectory,
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
    whatIsInUse: async () => {
      const ofTemplates = await templates.imagesInUse();
      const ofSandboxes = (digest: string) => sandboxes.all().some(({ record }) => record.image.digest === digest);
      return ofTemplates && ((digest) => ofTemplates.has(digest) || ofSandboxes(digest));
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

  const node = createNodeRuntime(
    { host: opened, imageStore, blocks, guests, logs, execs, sandboxes, pool, runner, capacity },
    { config, accelerator, acceleratorReason: reason, pooledSize, budgetMiB },
  );
  log.info("node.ready", { ...node.describe(), found: found.length });
  const resources = scope.move();

  return {
    ...node,
    images,
    onUpdate: (listener: (update: never) => void) => listen(listener as (update: NodeUpdate) => void),
    checkReady() {
      if (pool.failure !== undefined && pool.idle === 0)
        throw new AppError("unavailable", `no VM can be made: ${pool.failure}`);
    },
    claim: (installation) => claimDirectory(directory("installation.json"), installation),
    close: () => resources.disposeAsync(),
  };
}
