/**
 * Command lines of QEMU, as pure functions. A template and its clones must agree in every device, feature and size, and
 * QEMU refuses only some of the disagreements; so the machine part is made in one place and its text is part of the
 * template's identity.
 */
import { GUEST_NETWORK } from "../network/addresses.ts";
import { fileOf } from "./disk-view/block-graph.ts";

export type Accelerator = "kvm" | "tcg";

export interface MachineShape {
  readonly accelerator: Accelerator;
  readonly vcpus: number;
  readonly memoryMiB: number;
}

/** Where the jail shows things to QEMU. */
export const JAIL = {
  /** The microVM's own directory. Its disk in there is the only file of a clone that it can write. */
  vm: "/vm",
  template: "/template",
  image: "/image",
  boot: "/boot",
} as const;

/** Descriptors that the launcher opens for QEMU: the tap, and sockets that listen already. */
export const DESCRIPTORS = { tap: 3, qmp: 4, control: 5, bulk: 6 } as const;
/** Size that the slot device shows in the template, before a clone gets its disk. */
export const PLACEHOLDER_BYTES = 2 * 1024 ** 3;

/** A machine type with a version: state written by one build of QEMU loads in another that has it. */
const MACHINE_TYPE = "pc-q35-10.0";
/** No merging of equal pages: how long a write takes would tell a guest what another has in its memory. */
const MACHINE_OPTIONS = "sata=off,smbus=off,hpet=off,i8042=off,vmport=off,usb=off,graphics=off,mem-merge=off";

/**
 * What is slow to emulate is hidden, because the memory copies of programs and kernel would use it: AVX, and the fast
 * string instructions (`rep movsb` is emulated byte by byte; without them 8 bytes a step: output of a guest doubles).
 */
const CPU_MODEL: Readonly<Record<Accelerator, string>> = { tcg: "max,-avx,-avx2,-erms,-fsrm", kvm: "host" };
const ACCELERATOR: Readonly<Record<Accelerator, string>> = { tcg: "tcg,thread=multi,tb-size=64", kvm: "kvm" };

/** What a clone and one that wakes differ in: where memory comes from, and what is in the slot at first. */
interface Parts {
  readonly memory: string;
  readonly slot: string;
  /** More options of the slot. */
  readonly slotOptions?: string;
}

const PLACEHOLDER = `driver=null-co,size=${PLACEHOLDER_BYTES},read-zeroes=on,node-name=placeholder`;
/** Node name of the disk that a microVM wakes with. */
export const WOKEN_DISK = "disk0";

function templateMemory(shape: MachineShape, options: readonly string[]): string {
  const file = [`size=${shape.memoryMiB}M`, `mem-path=${JAIL.template}/memory`];
  return ["memory-backend-file,id=ram0", ...file, ...options].join(",");
}

function machine(shape: MachineShape, { memory, slot, slotOptions = "" }: Parts): string[] {
  // biome-ignore format: one option and its value a line
  return [
    "-machine", `${MACHINE_TYPE},memory-backend=ram0,${MACHINE_OPTIONS}`,
    "-accel", ACCELERATOR[shape.accelerator],
    "-cpu", CPU_MODEL[shape.accelerator],
    "-smp", String(shape.vcpus),
    "-m", String(shape.memoryMiB),
    "-object", memory,
    "-nodefaults", "-no-user-config", "-display", "none",
    // A guest that reboots, powers off or panics stops where it is, so that the reason can be read whenever the node looks.
    "-action", "reboot=shutdown,shutdown=pause,panic=pause",
    "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-chardev", "ringbuf,id=console,size=65536",
    "-serial", "chardev:console",
    "-blockdev", `driver=file,filename=${JAIL.image}/base.erofs,node-name=base-file,read-only=on,locking=off`,
    "-blockdev", "driver=raw,file=base-file,node-name=base,read-only=on",
    "-device", "virtio-blk-pci,drive=base,id=vda",
    "-blockdev", slot,
    "-blockdev", `driver=raw,file=${/node-name=(\w+)$/.exec(slot)?.[1]},node-name=slot${slotOptions}`,
    // Where the host's disk is full, or the block server cannot reach its store, the guest waits until that is over.
    "-device", "virtio-blk-pci,drive=slot,id=vdb,rerror=enospc,werror=enospc",
    "-device", "virtio-serial-pci,max_ports=4,id=serial0",
    "-chardev", `socket,id=control,fd=${DESCRIPTORS.control},server=on,wait=off`,
    "-device", "virtserialport,chardev=control,name=mags.control,nr=1",
    "-chardev", `socket,id=bulk,fd=${DESCRIPTORS.bulk},server=on,wait=off`,
    "-device", "virtserialport,chardev=bulk,name=mags.bulk,nr=2",
    "-netdev", `tap,id=net0,fd=${DESCRIPTORS.tap},vhost=off`,
    "-device", `virtio-net-pci,netdev=net0,mac=${GUEST_NETWORK.guestMac},romfile=`,
    "-device", "virtio-rng-pci",
    "-device", "pvpanic-pci",
    "-device", "vmgenid,guid=auto,id=generation0",
    "-chardev", `socket,id=monitor,fd=${DESCRIPTORS.qmp},server=on,wait=off`,
    "-mon", "chardev=monitor,mode=control",
  ];
}

function kernelArguments(accelerator: Accelerator): string {
  const network = GUEST_NETWORK;
  return [
    "console=ttyS0 quiet panic=-1 reboot=t",
    // Freezing the file system waits for RCU grace periods.
    "rcupdate.rcu_expedited=1 init_on_alloc=0",
    // Emulated code does not speculate; under KVM the guest keeps its mitigations. An emulated timer is late on a busy host,
    // which the kernel would take for a broken one, and panic; under KVM it does not look.
    ...(accelerator === "tcg" ? ["mitigations=off", "no_timer_check"] : []),
    `mags.ip=${network.guestAddress}/${network.prefixLength} mags.gw=${network.gatewayAddress} mags.gwmac=${network.gatewayMac}`,
    `mags.dns=${network.gatewayAddress} mags.mtu=${network.mtu}`,
  ].join(" ");
}

/** A first boot whose memory file becomes the template's: written, shared, sparse. `boot`: paths in the jail. */
export function templateArguments(
  shape: MachineShape,
  boot: { readonly kernel: string; readonly initramfs: string },
): string[] {
  const firstBoot = ["-kernel", boot.kernel, "-initrd", boot.initramfs, "-append", kernelArguments(shape.accelerator)];
  return [...machine(shape, { memory: templateMemory(shape, ["share=on"]), slot: PLACEHOLDER }), ...firstBoot];
}

/**
 * A clone: the template's memory mapped private and read-only, so that it can never write to the file. It waits for
 * the device state; it has no kernel, which would cost 12 MB more each.
 */
export function cloneArguments(shape: MachineShape): string[] {
  const memory = templateMemory(shape, ["share=off,readonly=on,rom=off"]);
  return [...machine(shape, { memory, slot: PLACEHOLDER }), "-incoming", "defer"];
}

/**
 * A microVM that wakes: its memory is its own and comes from its state file, in which pages of zeros do not stand; over the
 * template's memory the template's bytes would show in their place. `disk`: path in the jail. `backing`: options of what it stands on.
 */
export function wakeArguments(shape: MachineShape, disk: string, backing?: string): string[] {
  const memory = `memory-backend-ram,id=ram0,size=${shape.memoryMiB}M`;
  const file = `driver=qcow2,discard=unmap,file.driver=file,file.aio=threads,file.filename=${disk},file.node-name=${fileOf(WOKEN_DISK)}`;
  const slot = `${file}${backing === undefined ? "" : `,${backing}`},node-name=${WOKEN_DISK}`;
  // A clone gets the same with its disk. It is nothing that the guest, or its memory, knows of.
  return [...machine(shape, { memory, slot, slotOptions: ",discard=unmap" }), "-incoming", "defer"];
}

/** All that decides what a template contains, beside the files it is made of; and what a saved memory fits. */
export function machineIdentity(shape: MachineShape): string {
  const parts = { memory: templateMemory(shape, []), slot: PLACEHOLDER };
  return JSON.stringify([machine(shape, parts), kernelArguments(shape.accelerator)]);
}
