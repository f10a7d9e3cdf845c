/** Clones of a template on their way to a job: restored, parked, and given their disk. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, type Clock, type Logger, untilAborted, withDeadline } from "@mags/core";
import type { MicroVmSize } from "@mags/domain";
import { normalPriorityCommand, type RuntimeRoot } from "@mags/runtime-root";
import type { AgentConnection } from "../agent/index.ts";
import { DEFAULT_DISK_GIB, type OverlayStore } from "../disks/overlay-store.ts";
import { run } from "../host/run.ts";
import { connectGuest } from "../microvm/guest.ts";
import { microVmFileBytes } from "../microvm/limits.ts";
import type { LaunchSpec, MicroVm, MicroVmHost } from "../microvm/microvm-host.ts";
import { cloneArguments, JAIL } from "../qemu/command-line.ts";
import type { DiskIoCaps } from "../qemu/machine.ts";
import type { Template } from "../templates/template-store.ts";
import { warmClone } from "../templates/warm-up.ts";

export interface CloneDeps {
  readonly runtime: RuntimeRoot;
  readonly host: MicroVmHost;
  readonly overlays: OverlayStore;
  readonly diskIo: DiskIoCaps;
  /** Of the disks that a clone without one can be given. */
  readonly maxDiskGiB: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A paused clone that ran its warm-up and nothing else. */
export interface ParkedClone {
  readonly microVm: MicroVm;
  readonly agent: AgentConnection;
  readonly size: MicroVmSize;
  /** Its disk, of the default size, is attached; otherwise the slot is empty and takes any disk. */
  readonly mounted: boolean;
}

/** Name of a microVM's disk in its jail. */
export const DISK = "disk.qcow2";
const SCRATCH = "scratch.qcow2";
/** At idle priority on a busy host this lasts seconds, not milliseconds. */
const WARM_UP_MS = 120_000;

/** A clone as the template left it: paused, never ran. `diskGiB`: the largest disk it can be given. */
export async function restoreClone(
  deps: CloneDeps,
  template: Template,
  options: { readonly idlePriority: boolean; readonly diskGiB: number } & Pick<LaunchSpec, "files">,
): Promise<MicroVm> {
  const { files } = options;
  const microVm = await deps.host.launch({
    templateKey: template.key,
    args: cloneArguments(template.shape),
    accelerator: template.shape.accelerator,
    template: { directory: template.directory, writable: [] },
    imageDirectory: template.image.directory,
    ...(files && { files }),
    size: template.shape,
    maxFileBytes: microVmFileBytes(template.shape, options.diskGiB),
    mostFileBytes: microVmFileBytes(template.shape, deps.maxDiskGiB),
    idlePriority: options.idlePriority,
  });
  try {
    await Promise.all([microVm.machine.loadTemplate(`${JAIL.template}/state`), microVm.machine.capDiskIo(deps.diskIo)]);
    return microVm;
  } catch (error) {
    await deps.host.release(microVm);
    throw error;
  }
}

/** True from the moment in which a job began to give a parked clone its disk. Names in the jail are the node's alone. */
export function holdsDisk(microVm: Pick<MicroVm, "paths">): boolean {
  return existsSync(join(microVm.paths.jail, DISK));
}

/** Puts an empty disk of that size into the paused guest's slot. @returns its size in bytes. */
export async function insertEmptyDisk(
  deps: CloneDeps,
  microVm: MicroVm,
  options: { readonly diskGiB: number; readonly neverRan: boolean; readonly name?: string },
): Promise<number> {
  const name = options.name ?? DISK;
  const { diskGiB, neverRan } = options;
  const sizeBytes = await deps.overlays.create(join(microVm.paths.jail, name), { diskGiB, uid: microVm.uid });
  await microVm.machine.insertDisk({ path: `${JAIL.vm}/${name}`, sizeBytes, neverRan });
  return sizeBytes;
}

/**
 * Makes a clone and parks it: at idle priority it walks the path of a start, with its own disk (`mounted`) or on a scratch disk that is
 * then taken away. Afterwards it is paused, at normal priority, and costs no processor time.
 */
export async function parkClone(
  deps: CloneDeps,
  template: Template,
  options: { readonly mounted: boolean; readonly size: MicroVmSize },
): Promise<ParkedClone> {
  const { host, log, runtime } = deps;
  const { mounted, size } = options;
  const diskGiB = mounted ? DEFAULT_DISK_GIB : deps.maxDiskGiB;
  const microVm = await restoreClone(deps, template, { idlePriority: true, diskGiB });
  try {
    const name = mounted ? DISK : SCRATCH;
    const sizeBytes = await insertEmptyDisk(deps, microVm, { diskGiB: DEFAULT_DISK_GIB, neverRan: true, name });
    await microVm.machine.resume();
    const agent = await connectGuest(microVm, { log });
    const walk = async () => {
      await agent.attachDisk({ upper: "ext4", sizeBytes });
      await warmClone(agent, deps);
      if (!mounted) await agent.detachDisk();
    };
    const warmed = withDeadline(walk(), WARM_UP_MS, () => new AppError("guest_failed", "a clone does not answer"));
    await untilAborted(warmed, microVm.gone);
    await microVm.machine.pause();
    if (!mounted) {
      await microVm.machine.ejectDisk();
      await rm(join(microVm.paths.jail, SCRATCH));
    }
    await run(normalPriorityCommand(runtime, microVm.process.pid));
    await host.recordParked(microVm, { mounted, size });
    return { microVm, agent, size, mounted };
  } catch (error) {
    await host.release(microVm);
    throw error;
  }
}
