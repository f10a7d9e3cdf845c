/** A node as the control plane sees it: which of its parts does what is asked. */
import type { MicroVmSize, NodeDescription } from "@mags/domain";
import type { NodeConfig } from "./config.ts";
import type { ExecSessions } from "./execs/exec-sessions.ts";
import { execIn } from "./guests/exec.ts";
import { createGuestFiles } from "./guests/files.ts";
import type { Guests } from "./guests/guests.ts";
import { createGuestSockets } from "./guests/sockets.ts";
import type { ImageStore } from "./images/image-store.ts";
import type { Capacity } from "./jobs/capacity.ts";
import type { JobRunner } from "./jobs/job-runner.ts";
import type { LogStore } from "./logs/log-store.ts";
import type { Node } from "./node.ts";
import type { OpenedHost } from "./open-host.ts";
import type { WarmPool } from "./pool/warm-pool.ts";
import type { Sandboxes } from "./sandboxes/sandboxes.ts";
import type { Blocks } from "./workspaces/blocks.ts";
import { createWorkspaceRuntime } from "./workspaces/workspace-runtime.ts";

export interface NodeParts {
  readonly host: Pick<OpenedHost, "host" | "namespaces" | "work">;
  readonly imageStore: Pick<ImageStore, "names">;
  readonly blocks: Blocks;
  readonly guests: Guests;
  readonly logs: Pick<LogStore, "openTail">;
  readonly execs: ExecSessions;
  readonly sandboxes: Sandboxes;
  readonly pool: WarmPool;
  readonly runner: JobRunner;
  readonly capacity: Pick<Capacity, "waiting" | "reservedMiB">;
}

export interface NodeFacts {
  readonly config: NodeConfig;
  readonly accelerator: NodeDescription["accelerator"];
  readonly acceleratorReason: string;
  /** Of parked clones. */
  readonly pooledSize: MicroVmSize;
  /** Memory for microVMs. */
  readonly budgetMiB: number;
}

export function createNodeRuntime(
  {
    host: { host, namespaces, work },
    imageStore,
    blocks,
    guests,
    logs,
    execs,
    sandboxes,
    pool,
    runner,
    capacity,
  }: NodeParts,
  { config, accelerator, acceleratorReason, pooledSize, budgetMiB }: NodeFacts,
): Omit<Node, "images" | "onUpdate" | "checkReady" | "claim" | "close"> {
  return {
    describe: () => ({
      accelerator,
      acceleratorReason,
      images: imageStore.names(),
      defaultVcpus: pooledSize.vcpus,
      maxVcpus: config.max_vcpus,
      defaultMemoryMiB: config.default_memory_mb,
      // However small the host, a job of the default size runs, alone.
      maxMemoryMiB: Math.max(config.default_memory_mb, Math.min(config.max_memory_mb, budgetMiB)),
      maxDiskGiB: config.max_disk_gb,
    }),
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
    ...createGuestSockets(guests),
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
    footprint: () => ({
      microVms: host.list().map((microVm) => ({ ...microVm, jobId: null })),
      preparedIndexes: namespaces.prepared,
      work: work.list(),
      execs: execs.ids(),
      outcomes: runner.observe().flatMap(({ jobId, state }) => (state === "ended" ? [jobId] : [])),
      sandboxes: sandboxes.all().map(({ id }) => id),
    }),
  };
}
