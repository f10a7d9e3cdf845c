/** Makes the microVM of a sandbox that wakes: warm, with its memory, or cold, a fresh guest on its disk. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, withDeadline } from "@mags/core";
import type { AgentConnection } from "../agent/index.ts";
import { syncPath } from "../host/files.ts";
import { connectGuest, giveIdentity, tellTime } from "../microvm/guest.ts";
import { microVmFileBytes } from "../microvm/limits.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import { DISK, restoreClone } from "../pool/clone.ts";
import { JAIL, wakeArguments } from "../qemu/command-line.ts";
import { wokenBacking } from "../qemu/machine.ts";
import { BLOCKS_SOCKET, serveIn } from "../workspaces/stand-on.ts";
import { diskIdentity, isIntact } from "./memory-file.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import { MEMORY, type SandboxRecord } from "./sandbox-record.ts";
import { machineOf, memoryDeadlineMs } from "./save.ts";

const GIB = 1024 ** 3;
const START_MS = 10_000;
const THAW_MS = 5_000;

/** Writes down that the sandbox is awake in that microVM. From then on its memory file is used up. */
export type Commit = (microVm: MicroVm) => Promise<void>;

/** Why the memory that was kept cannot be used, for people; nothing when it can, as far as can be seen without reading it. */
export async function misfitOf(deps: SandboxDeps, record: SandboxRecord): Promise<string | undefined> {
  const memory = record.asleep?.memory;
  const place = deps.store.placeOf(record.id);
  if (!memory) return record.asleep?.reason ?? "its memory was not kept";
  if (memory.runtimeDigest !== deps.runtimeDigest) return "its memory is of another version of QEMU";
  if (memory.machine !== machineOf(deps, record)) return "its memory is of another virtual machine";
  if (!existsSync(place.memory)) return "its memory file is missing";
  const disk = await diskIdentity(place.disk);
  if (disk.bytes !== memory.disk.bytes || disk.modifiedNs !== memory.disk.modifiedNs)
    return "its disk was changed while it slept";
  return undefined;
}

async function prepare(deps: SandboxDeps, record: SandboxRecord, microVm: MicroVm): Promise<void> {
  const { lastJobId, id, policy } = record;
  const size = { ...record.size, egress: policy.egress };
  await Promise.all([
    deps.egress.apply(microVm.index, policy.egress),
    deps.host.bind(microVm, {
      ...{ jobId: lastJobId, sandboxId: id, size, timeoutMs: null },
      ...{ boundAtMs: deps.clock.now().getTime(), boundAtBootMs: deps.clock.bootMs() },
    }),
  ]);
}

async function serveBase(
  deps: SandboxDeps,
  { id, base, image }: SandboxRecord,
  place: { readonly jail: string; readonly uid: number },
): Promise<void> {
  if (base) await serveIn(deps, place, { id, from: base, image });
}

/** @throws AppError; before `commit` was called nothing has happened to the memory that was kept. */
export async function wakeWarm(deps: SandboxDeps, record: SandboxRecord, commit: Commit): Promise<Awake> {
  const { host, store, maxDiskGiB } = deps;
  const { size, image } = record;
  const place = store.placeOf(record.id);
  const memory = record.asleep?.memory;
  if (!memory) throw new Error("it has no memory");
  const giveUp = new AbortController();
  // Read beside QEMU, which reads the same.
  const intact = isIntact(place.memory, memory.seal, { signal: giveUp.signal });
  intact.catch(() => {});
  let microVm: MicroVm | undefined;
  try {
    microVm = await host.launch({
      templateKey: null,
      args: wakeArguments(
        { accelerator: deps.accelerator, vcpus: size.vcpus, memoryMiB: size.memoryMiB },
        `${JAIL.vm}/${DISK}`,
        ...(record.base ? [wokenBacking(BLOCKS_SOCKET)] : []),
      ),
      accelerator: deps.accelerator,
      template: null,
      imageDirectory: image.directory,
      furnish: async (place) => serveBase(deps, record, place),
      files: [
        { source: place.disk, name: DISK },
        { source: place.memory, name: MEMORY },
      ],
      size,
      maxFileBytes: microVmFileBytes(size, size.diskGiB),
      mostFileBytes: microVmFileBytes(size, maxDiskGiB),
      idlePriority: false,
    });
    const { machine, paths } = microVm;
    await Promise.all([
      machine.loadMemory(`${JAIL.vm}/${MEMORY}`, { deadlineMs: memoryDeadlineMs(record) }),
      machine.capDiskIo(deps.diskIo),
      prepare(deps, record, microVm),
    ]);
    if (!(await intact))
      throw new AppError("internal", "its memory file is damaged: the checksum is wrong", {
        details: { damaged: true },
      });
    await commit(microVm);
    await rm(place.memory);
    await syncPath(place.directory);
    await rm(join(paths.jail, MEMORY));
    const [agent] = await Promise.all([
      connectGuest(microVm, deps, { first: (connection) => tellTime(connection, deps) }),
      machine.resume(),
    ]);
    // It may have fallen asleep with its file system still; if not, or if it has thawed by itself, it says so.
    if (record.policy.syncTo) await agent.thaw({ deadlineMs: THAW_MS }).catch(() => {});
    return { microVm, agent };
  } catch (error) {
    giveUp.abort();
    if (microVm) await host.release(microVm);
    throw error;
  }
}

/** The disk needs nothing of how the guest left it: its file system recovers from its journal. */
export async function wakeCold(deps: SandboxDeps, record: SandboxRecord, commit: Commit): Promise<Awake> {
  const { host, store, templates } = deps;
  const { size, image } = record;
  const place = store.placeOf(record.id);
  const template = await templates.get(image, size);
  const files = [{ source: place.disk, name: DISK }];
  const microVm = await restoreClone(deps, template, { idlePriority: false, diskGiB: size.diskGiB, files });
  try {
    const sizeBytes = size.diskGiB * GIB;
    await prepare(deps, record, microVm);
    await serveBase(deps, record, { jail: microVm.paths.jail, uid: microVm.uid });
    const backing = record.base ? { backing: BLOCKS_SOCKET } : {};
    await microVm.machine.insertDisk({ path: `${JAIL.vm}/${DISK}`, sizeBytes, neverRan: true, used: true, ...backing });
    await commit(microVm);
    await rm(place.memory, { force: true });
    await microVm.machine.resume();
    const agent = await connectGuest(microVm, deps);
    await Promise.all([agent.attachDisk({ upper: "ext4", sizeBytes }), giveIdentity(agent, deps)]);
    return { microVm, agent };
  } catch (error) {
    await host.release(microVm);
    throw error;
  }
}

/**
 * Starts the command that a sandbox begins with when its processes are lost: in a session of its own, as programs that stay
 * are started, with its output in a file of the guest.
 */
export async function runStartupCommand(
  agent: AgentConnection,
  command: string,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const name = `/run/mags/startup-${randomBytes(4).toString("hex")}`;
  const file = agent.open({ kind: "fileWrite", path: name, mode: 0o700 });
  const written = file.write(Buffer.from(command)).then(() => file.endInput());
  const inTime = withDeadline(
    Promise.all([written, file.ended]),
    START_MS,
    () => new AppError("guest_failed", "the guest does not take the command"),
  );
  await inTime.finally(() => file.close());
  const start = `mkdir -p /var/log; setsid sh -c 'exec "$0"' ${name} </dev/null >>/var/log/mags-startup.log 2>&1 &`;
  await agent.run({
    argv: ["/bin/sh", "-c", start],
    environment,
    killGroup: false,
    timeoutMs: START_MS,
    killAfterMs: 0,
  });
}
