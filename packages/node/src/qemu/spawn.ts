import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "@mags/core";
import { launchCommand, type RuntimeRoot } from "@mags/runtime-root";
import { identify, type ProcessIdentity } from "../host/processes.ts";
import type { MicroVmNetwork } from "../network/network-manager.ts";
import { type Accelerator, JAIL, TAP_FD } from "./command-line.ts";

export interface QemuSpec {
  readonly args: readonly string[];
  readonly accelerator: Accelerator;
  readonly uid: number;
  readonly network: MicroVmNetwork;
  /** The microVM's own directory, owned by `uid`. */
  readonly jailDirectory: string;
  readonly imageDirectory: string;
  readonly template: { readonly directory: string; readonly readOnly: boolean };
  /** Only for a first boot. */
  readonly kernel?: string;
  /** Control groups to run in, as `cgroup.procs` files. */
  readonly cgroups: readonly string[];
  readonly logFile: string;
  readonly idlePriority: boolean;
}

/**
 * Starts QEMU in its jail, in a session of its own: it outlives this process. What it says goes to `logFile`.
 * @throws AppError `internal` when it could not be started at all; that it ended later shows on its sockets.
 */
export async function spawnQemu(runtime: RuntimeRoot, spec: QemuSpec): Promise<ProcessIdentity> {
  const bind = (source: string, target: string, readOnly: boolean) => ({ source, target, readOnly });
  const command = launchCommand(runtime, {
    program: "/usr/bin/qemu-system-x86_64",
    args: spec.args,
    binds: [
      bind(spec.jailDirectory, JAIL.vm, false),
      bind(spec.template.directory, JAIL.template, spec.template.readOnly),
      bind(spec.imageDirectory, JAIL.image, true),
      ...(spec.kernel ? [bind(dirname(spec.kernel), JAIL.boot, true)] : []),
    ],
    uid: spec.uid,
    gid: spec.uid,
    // One allocation arena: threads of an emulator that idles would each keep their own.
    env: { MALLOC_ARENA_MAX: "1" },
    kvm: spec.accelerator === "kvm",
    cgroups: spec.cgroups,
    netns: spec.network.namespace,
    tap: { name: spec.network.tap, fd: TAP_FD },
    idlePriority: spec.idlePriority,
  });
  const log = await open(spec.logFile, "a", 0o600);
  try {
    const child = spawn(command.file, [...command.args], {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      env: {},
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (cause) =>
        reject(new AppError("internal", `QEMU could not be started: ${cause.message}`, { cause })),
      );
    });
    child.unref();
    const identity = child.pid === undefined ? undefined : await identify(child.pid);
    if (!identity) throw new AppError("internal", "QEMU ended at once", { details: { logFile: spec.logFile } });
    return identity;
  } finally {
    await log.close();
  }
}
