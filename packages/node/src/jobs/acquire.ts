/** Gets a microVM for a job: parked with its disk, parked and given a disk, or restored when none was left. */
import { isAppError, messageOf } from "@mags/core";
import type { JobUpdate, MicroVmSize, SandboxId } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";
import { DEFAULT_DISK_GIB } from "../disks/overlay-store.ts";
import type { Image } from "../images/image.ts";
import { connectGuest, giveIdentity } from "../microvm/guest.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import { type CloneDeps, DISK, insertEmptyDisk, restoreClone } from "../pool/clone.ts";
import type { WarmPool } from "../pool/warm-pool.ts";
import type { TemplateStore } from "../templates/template-store.ts";
import type { Blocks } from "../workspaces/blocks.ts";
import { insertDiskOn, type Standing } from "../workspaces/stand-on.ts";

export interface AcquireDeps extends CloneDeps {
  readonly blocks: Blocks;
  readonly pool: WarmPool;
  readonly templates: TemplateStore;
  /** The size whose clones are pooled. */
  readonly pooledSize: PooledSize;
}

export interface PooledSize extends MicroVmSize {
  /** Of its image. */
  readonly digest: string;
}

export type Origin = Exclude<Extract<JobUpdate, { type: "started" }>["origin"], "sandbox">;

export interface Acquired {
  readonly microVm: MicroVm;
  readonly agent: AgentConnection;
  readonly origin: Origin;
  /** Rejects when the microVM turns out to be dead before anything was asked of its guest. */
  readonly resumed: Promise<void>;
  /**
   * Resolves when the guest has its disk and its identity. What is sent to the agent meanwhile is carried out after
   * them, so a start need not wait.
   */
  readonly ready: Promise<void>;
}

/** @param image  That of the job; of the pool's name there may be others, in which versions were made. */
export function isPooled(
  size: MicroVmSize,
  { image, pooled }: { readonly image: Image; readonly pooled: PooledSize },
): boolean {
  return image.digest === pooled.digest && size.vcpus === pooled.vcpus && size.memoryMiB === pooled.memoryMiB;
}

/** Builds the template for a size that is not pooled when there is none yet, which takes seconds. */
export async function ensureTemplate(
  deps: AcquireDeps,
  size: MicroVmSize,
  options: { readonly image: Image; readonly onBuild: () => void },
): Promise<void> {
  const { image } = options;
  if (await deps.templates.has(image, size)) return;
  options.onBuild();
  await deps.templates.get(image, size);
}

const LET_GO_MS = 5_000;

/** What a job's disk stands on; undefined: nothing. */
type From = Standing | undefined;

/** @returns what brings the disk to the guest once it runs: its agent attaches it, and has its file system fill it. */
async function giveDisk(
  deps: AcquireDeps,
  microVm: MicroVm,
  { from, diskGiB, neverRan }: { readonly from: From; readonly diskGiB: number; readonly neverRan: boolean },
): Promise<(agent: AgentConnection) => Promise<void>> {
  if (!from) {
    const sizeBytes = await insertEmptyDisk(deps, microVm, { diskGiB, neverRan });
    return async (agent) => void (await agent.attachDisk({ upper: "ext4", sizeBytes }));
  }
  const disk = { name: DISK, diskGiB };
  const { sizeBytes, grows } = await insertDiskOn(deps, microVm, { standing: from, disk, neverRan });
  return async (agent) => {
    const attached = agent.attachDisk({ upper: "ext4", sizeBytes });
    // A version that was published half-way through a growth has a file system smaller than its disk; it can be used so.
    const grown = agent.grow({ sizeBytes }).catch((error: unknown) => {
      if (grows) throw error;
      deps.log.warn("job.file_system_not_grown", { sandboxId: from.id, error: messageOf(error) });
    });
    await Promise.all([attached, grown]);
  };
}

/** A parked clone may have died unseen; as nothing was asked of its guest yet, the next takes its place. */
export async function acquireMicroVm(
  deps: AcquireDeps,
  size: MicroVmSize,
  { image, from }: { readonly image: Image; readonly from: From },
): Promise<Acquired> {
  const { diskGiB } = size;
  const defaultDisk = diskGiB === DEFAULT_DISK_GIB && !from;
  const take = () => (isPooled(size, { image, pooled: deps.pooledSize }) ? deps.pool.take({ defaultDisk }) : undefined);
  for (let parked = take(); parked; parked = take()) {
    const { microVm, agent, mounted } = parked;
    try {
      const attach = mounted ? undefined : await giveDisk(deps, microVm, { from, diskGiB, neverRan: false });
      const resumed = microVm.machine.resume();
      const attached = attach?.(agent);
      const limited = mounted ? undefined : deps.host.limitDisk(microVm, size);
      const ready = Promise.all([resumed, attached, giveIdentity(agent, deps), limited]).then(() => {});
      for (const promise of [resumed, ready]) promise.catch(() => {}); // whoever starts the script sees it
      return { microVm, agent, origin: mounted ? "mounted" : "slot", resumed, ready };
    } catch (error) {
      if (from) await letGo(deps, from.id);
      await deps.host.release(microVm);
      if (!isAppError(error, "microvm_lost")) throw error;
      deps.log.warn("job.clone_was_dead", { microVmId: microVm.id });
    }
  }

  const template = await deps.templates.get(image, size);
  const microVm = await restoreClone(deps, template, { idlePriority: false, diskGiB: size.diskGiB });
  try {
    const attach = await giveDisk(deps, microVm, { from, diskGiB, neverRan: true });
    await microVm.machine.resume();
    const agent = await connectGuest(microVm, deps);
    const ready = Promise.all([attach(agent), giveIdentity(agent, deps)]).then(() => {});
    ready.catch(() => {});
    return { microVm, agent, origin: "restored", resumed: Promise.resolve(), ready };
  } catch (error) {
    if (from) await letGo(deps, from.id);
    await deps.host.release(microVm);
    throw error;
  }
}

/** Nothing is read for it any more. What cannot be said now is so at the next start. May be repeated. */
export async function letGo({ blocks, log }: Pick<AcquireDeps, "blocks" | "log">, id: SandboxId): Promise<void> {
  await blocks
    .call("unserve", { id }, { signal: AbortSignal.timeout(LET_GO_MS) })
    .catch((error: unknown) => log.warn("job.not_let_go", { sandboxId: id, error: messageOf(error) }));
}
