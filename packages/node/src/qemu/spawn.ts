/** Starts QEMU in its jail, and tells how it ended. */
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { AppError, identify, type ProcessIdentity } from "@mags/core";
import { type LaunchSpec, launchCommand, type RuntimeRoot } from "@mags/runtime-root";
import { foreignText } from "../foreign-text.ts";
import type { MicroVmNetwork } from "../network/network-manager.ts";
import { type Accelerator, DESCRIPTORS, JAIL } from "./command-line.ts";

export interface QemuSpec {
  readonly args: readonly string[];
  readonly accelerator: Accelerator;
  readonly uid: number;
  readonly network: MicroVmNetwork;
  /** The microVM's own directory, in which `uid` can make nothing. */
  readonly jailDirectory: string;
  readonly imageDirectory: string;
  /** Null for one that wakes. `writable`: its files are shown writable, to whom they belong. */
  readonly template: { readonly directory: string; readonly writable: boolean } | null;
  /** Only for a first boot. */
  readonly kernel?: string;
  /** Control groups to run in, as `cgroup.procs` files. */
  readonly cgroups: readonly string[];
  /** Where its sockets are to be, in a directory that only root can write. */
  readonly sockets: { readonly qmp: string; readonly control: string; readonly bulk: string };
  readonly limits: {
    /** Most bytes of any file that it writes. */
    readonly fileBytes: number;
    /** How far that may be changed later. */
    readonly mostFileBytes: number;
    readonly processes: number;
    readonly addressBytes: number;
  };
  readonly idlePriority: boolean;
}

/** How a QEMU ended, in words, and the last it said. */
export interface QemuEnd {
  readonly how: string;
  readonly output: string;
}

export interface SpawnedQemu {
  readonly process: ProcessIdentity;
  readonly ended: Promise<QemuEnd>;
}

const OUTPUT_TAIL_BYTES = 2_000;
/** An honest QEMU says a few lines. To one that was taken over nobody listens for ever: its writes fail from here. */
const MAX_OUTPUT_BYTES = 1024 * 1024;

/** What the jail of a microVM's QEMU is made of. */
export function qemuLaunchSpec(spec: QemuSpec): LaunchSpec {
  const bind = (source: string, target: string, readOnly = true) => ({ source, target, readOnly });
  return {
    program: "/usr/bin/qemu-system-x86_64",
    args: spec.args,
    binds: [
      bind(spec.jailDirectory, JAIL.vm, false),
      ...(spec.template ? [bind(spec.template.directory, JAIL.template, !spec.template.writable)] : []),
      bind(spec.imageDirectory, JAIL.image),
      ...(spec.kernel ? [bind(dirname(spec.kernel), JAIL.boot)] : []),
    ],
    uid: spec.uid,
    gid: spec.uid,
    // One allocation arena: threads of an emulator that idles would each keep their own.
    env: { MALLOC_ARENA_MAX: "1" },
    kvm: spec.accelerator === "kvm",
    cgroups: spec.cgroups,
    netns: spec.network.namespace,
    tap: { name: spec.network.tap, fd: DESCRIPTORS.tap },
    listeners: (["qmp", "control", "bulk"] as const).map((name) => ({
      path: spec.sockets[name],
      fd: DESCRIPTORS[name],
    })),
    idlePriority: spec.idlePriority,
    maxFileBytes: spec.limits.fileBytes,
    mostFileBytes: spec.limits.mostFileBytes,
    maxProcesses: spec.limits.processes,
    maxAddressBytes: spec.limits.addressBytes,
    systemCalls: "qemu",
  };
}

/**
 * Starts QEMU in its jail, in a session of its own: it outlives this process, and what it says then is lost. No file
 * takes its output: it could fill a disk with it.
 * @throws AppError `internal` when it could not be started at all; that it ended later shows on its sockets.
 */
export async function spawnQemu(runtime: RuntimeRoot, spec: QemuSpec): Promise<SpawnedQemu> {
  const command = launchCommand(runtime, qemuLaunchSpec(spec));
  const child = spawn(command.file, [...command.args], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    env: {},
  });
  let output = "";
  let heardBytes = 0;
  child.stderr.setEncoding("latin1").on("data", (text: string) => {
    output = (output + text).slice(-OUTPUT_TAIL_BYTES);
    heardBytes += text.length;
    if (heardBytes > MAX_OUTPUT_BYTES) child.stderr.destroy();
  });
  const ended = new Promise<QemuEnd>((resolve) => {
    child.once("close", (code, signal) =>
      resolve({
        how: signal ? `was ended by ${signal}` : `ended with code ${code}`,
        output: foreignText(output.trim(), OUTPUT_TAIL_BYTES),
      }),
    );
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) =>
      reject(new AppError("internal", `QEMU could not be started: ${cause.message}`, { cause })),
    );
  });
  child.unref();
  (child.stderr as unknown as { unref(): void }).unref(); // a socket, which the types of streams do not say
  const process = child.pid === undefined ? undefined : await identify(child.pid);
  if (!process) throw new AppError("internal", "QEMU ended at once", { details: { ...(await ended) } });
  return { process, ended };
}
