/** What a node needs of the machine itself. */
import { access, readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "@mags/core";
import { launchCommand } from "@mags/runtime-root";
import { judgeProbe, runProbe } from "../accelerator/probe.ts";
import { cgroupFolders, openCgroups } from "./cgroups.ts";
import { type Check, type CheckContext, fail, installedRuntime, ok, REINSTALL, type Verdict, warn } from "./check.ts";
import { abandonedChecks, makeCheckDirectory, newCheckName } from "./check-leftovers.ts";
import { hostMemory } from "./memory.ts";
import { run } from "./run.ts";

const LEAST_FREE_DISK_GIB = 5;
/** A machine of 2 GiB shows less of it. */
const LEAST_MEMORY_MIB = 1_800;

export const MACHINE_CHECKS: readonly Check[] = [
  { name: "user", look: user, cure: "run as root" },
  { name: "processor", look: processor, cure: "" },
  { name: "installation", look: installation, cure: REINSTALL },
  { name: "QEMU", look: qemu, cure: REINSTALL },
  { name: "accelerator", look: accelerator, cure: REINSTALL },
  { name: "control groups", look: controlGroups, cure: "" },
  { name: "memory", look: memory, cure: "" },
  { name: "disk", look: disk, cure: "" },
];

async function user(): Promise<Verdict> {
  return process.getuid?.() === 0 ? ok("root") : fail(`uid ${process.getuid?.()}`, "run as root");
}

async function processor(): Promise<Verdict> {
  return process.arch === "x64" ? ok("x86-64") : fail(process.arch, "use an x86-64 machine");
}

async function installation({ artifactsFile, artifacts }: CheckContext): Promise<Verdict> {
  if (artifacts instanceof Error) throw artifacts;
  return ok(`${artifactsFile}: images ${[...artifacts.images.keys()].join(", ")}`);
}

async function qemu({ config, artifacts }: CheckContext): Promise<Verdict> {
  const uid = config.uid_base;
  const version = await run(
    launchCommand(installedRuntime(artifacts), {
      program: "/usr/bin/qemu-system-x86_64",
      args: ["--version"],
      binds: [],
      uid,
      gid: uid,
      env: {},
      systemCalls: "qemu",
    }),
  );
  return ok(`${version.split("\n")[0]}, jailed, its system calls filtered`);
}

async function accelerator({ config, artifacts }: CheckContext): Promise<Verdict> {
  if (config.accelerator === "tcg") return warn("emulation, set by the configuration", "set node.accelerator to auto");
  await using directory = await makeCheckDirectory();
  const verdict = judgeProbe(
    await runProbe({ runtime: installedRuntime(artifacts), directory: directory.path }, config.uid_base),
  );
  if (verdict.works) return ok(`KVM: ${verdict.reason}`);
  return warn(
    `emulation (TCG), because ${verdict.reason}. Programs run 10 to 30 times slower, and QEMU itself is the first wall around a guest: its makers do not call emulation a security boundary; a guest that breaks QEMU meets the jail around it`,
    "use a machine with hardware virtualization, and let root read and write /dev/kvm",
  );
}

async function controlGroups(): Promise<Verdict> {
  try {
    for (const left of await abandonedCgroups()) await (await openCgroups(left)).removeAll();
    const cgroups = await openCgroups(newCheckName());
    await cgroups.removeAll();
    return ok(`version ${cgroups.version}: memory, cpu, pids`);
  } catch (error) {
    return warn(
      `${messageOf(error)}: nothing bounds what a VM's QEMU takes of the host`,
      "mount the controllers memory, cpu and pids, writable for root",
    );
  }
}

async function memory(): Promise<Verdict> {
  const { availableMiB, totalMiB } = hostMemory();
  const overcommit = (await readFile("/proc/sys/vm/overcommit_memory", "latin1")).trim();
  if (overcommit === "2")
    return fail(
      "vm.overcommit_memory is 2: mapping a template privately would need its whole size at once",
      "sysctl vm.overcommit_memory=0",
    );
  const found = `${availableMiB} of ${totalMiB} MiB available`;
  return totalMiB >= LEAST_MEMORY_MIB ? ok(found) : warn(found, `use a machine with at least ${LEAST_MEMORY_MIB} MiB`);
}

async function disk({ dataDirectory }: CheckContext): Promise<Verdict> {
  const place = await nearestExisting(dataDirectory);
  const { bavail, bsize } = await statfs(place);
  const freeGiB = (bavail * bsize) / 1024 ** 3;
  const found = `${freeGiB.toFixed(1)} GiB free for ${dataDirectory}`;
  return freeGiB >= LEAST_FREE_DISK_GIB ? ok(found) : warn(found, `free at least ${LEAST_FREE_DISK_GIB} GiB`);
}

async function abandonedCgroups(): Promise<string[]> {
  const found = await Promise.all((await cgroupFolders()).map(abandonedChecks));
  return [...new Set(found.flat())];
}

async function nearestExisting(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    const exists = await access(place).then(
      () => true,
      () => false,
    );
    if (exists || place === "/") return place;
  }
}
