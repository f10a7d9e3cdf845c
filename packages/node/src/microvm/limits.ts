/**
 * What the QEMU of one microVM may take of its host, decided from the size. Its control group bounds memory, processors
 * and threads; limits of the process bound what groups do not, and some of the same where a host has no groups.
 */
import type { MicroVmSize } from "@mags/domain";
import type { CgroupLimits } from "../host/cgroups.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
/** What QEMU takes beside the guest's memory, with room to spare: 48 MB parked, 64 MiB more of emulated code at most. */
const QEMU_OVERHEAD_MIB = 256;
/** QEMU's own threads and up to 64 of its I/O; one more a processor. */
const QEMU_THREADS = 128;
/** Libraries, emulated code, stacks of 8 MiB for 64 I/O threads; most of it never becomes memory. */
const QEMU_ADDRESSES = 2 * GIB;
const ADDRESSES_PER_VCPU = 16 * MIB;
const PLAIN_FILES_MIB = 64;

export const CPU_WEIGHT = 100;

export interface ProcessLimits {
  /** Most bytes of any file that it writes. */
  readonly fileBytes: number;
  /** How far that may be changed while it runs. */
  readonly mostFileBytes: number;
  readonly processes: number;
  readonly addressBytes: number;
}

type Machine = Pick<MicroVmSize, "vcpus" | "memoryMiB">;

export function cgroupLimits(machine: Machine, options: { readonly idle: boolean }): CgroupLimits {
  return {
    memoryBytes: (machine.memoryMiB + QEMU_OVERHEAD_MIB) * MIB,
    cpuWeight: options.idle ? "idle" : CPU_WEIGHT,
    pids: QEMU_THREADS + machine.vcpus,
  };
}

export function processLimits(
  machine: Machine,
  files: Pick<ProcessLimits, "fileBytes" | "mostFileBytes">,
): ProcessLimits {
  return {
    ...files,
    processes: QEMU_THREADS + machine.vcpus,
    addressBytes: machine.memoryMiB * MIB + QEMU_ADDRESSES + machine.vcpus * ADDRESSES_PER_VCPU,
  };
}

/**
 * Most bytes of the file behind a disk. Twice the disk's: a qcow2 file whose free clusters lie scattered grows past the
 * disk's size, with holes instead of what was discarded. An honest QEMU fills no more than the disk's size and 0.02 %.
 */
function diskFileBytes(diskGiB: number): number {
  return 2 * diskGiB * GIB + PLAIN_FILES_MIB * MIB;
}

/** Most bytes of any file of a microVM with that disk: it may be its memory, when it is put to sleep. */
export function microVmFileBytes(machine: Pick<Machine, "memoryMiB">, diskGiB: number): number {
  return Math.max(diskFileBytes(diskGiB), templateFileBytes(machine));
}

/** Most bytes of the files of a template: the guest's memory is the largest. */
export function templateFileBytes(machine: Pick<Machine, "memoryMiB">): number {
  return (machine.memoryMiB + PLAIN_FILES_MIB) * MIB;
}
