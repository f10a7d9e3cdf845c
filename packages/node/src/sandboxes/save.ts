/** Puts the memory of a guest into a file. */
import { createHash } from "node:crypto";
import { chmod, chown, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, diskFullError, isDiskFull, messageOf } from "@mags/core";
import type { SleepReason } from "@mags/domain";
import { syncPath } from "../host/files.ts";
import { makeFileFor } from "../microvm/jail-directory.ts";
import { JAIL, machineIdentity } from "../qemu/command-line.ts";
import type { KeptRecord } from "./kept-record.ts";
import { diskIdentity, sealOf } from "./memory-file.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import { type Asleep, MEMORY, type MemoryState, type SandboxRecord } from "./sandbox-record.ts";

/** Beyond this, and a second for each 16 MiB, something is wrong. */
const MEMORY_DEADLINE_MS = 30_000;
const MS_PER_MIB = 1000 / 16;
const THAW_MS = 5_000;

export function memoryDeadlineMs({ size }: Pick<SandboxRecord, "size">): number {
  return MEMORY_DEADLINE_MS + size.memoryMiB * MS_PER_MIB;
}

/** Names the machine whose memory it is, in a few characters. */
export function machineOf(deps: Pick<SandboxDeps, "accelerator">, { size }: Pick<SandboxRecord, "size">): string {
  const { vcpus, memoryMiB } = size;
  const identity = machineIdentity({ accelerator: deps.accelerator, vcpus, memoryMiB });
  return createHash("sha256").update(identity).digest("hex").slice(0, 32);
}

/**
 * Writes the memory of a paused guest; on stable storage when it resolves, in the sandbox's place. When it rejects there is
 * no file, and the guest can be resumed.
 */
async function saveMemory(deps: SandboxDeps, record: SandboxRecord, awake: Awake): Promise<MemoryState> {
  const { machine, paths, uid } = awake.microVm;
  const place = deps.store.placeOf(record.id);
  const written = join(paths.jail, MEMORY);
  try {
    await rm(written, { force: true }); // of an attempt that a restart of the server has cut off
    await makeFileFor(uid, written);
    await machine.saveMemory(`${JAIL.vm}/${MEMORY}`, { deadlineMs: memoryDeadlineMs(record) });
    await chown(written, 0, 0);
    await chmod(written, 0o600);
    await rename(written, place.memory);
    await syncPath(place.memory);
    await syncPath(place.disk);
    await syncPath(place.directory);
    return {
      seal: await sealOf(place.memory),
      runtimeDigest: deps.runtimeDigest,
      machine: machineOf(deps, record),
      disk: await diskIdentity(place.disk),
    };
  } catch (cause) {
    // Of a file that cannot be written QEMU says no more than that.
    const error = (await isDiskFull(place.directory)) ? diskFullError(deps.dataDirectory, { cause }) : cause;
    for (const path of [written, place.memory]) await rm(path, { force: true });
    throw error;
  }
}

/**
 * Pauses the guest, unless it is, keeps its memory and writes down that it sleeps: from then on its QEMU can be ended at any time.
 * @param options.synced  All that the guest wrote is published, and its file system still; `behind` says what is not.
 * @throws AppError `unavailable` when that fails: the guest runs on.
 */
export async function sleepOnDisk(
  deps: SandboxDeps,
  kept: KeptRecord,
  awake: Awake,
  { reason, ...state }: { readonly reason: SleepReason } & Pick<Asleep, "synced" | "behind">,
): Promise<void> {
  try {
    await awake.microVm.machine.pause();
    const memory = await saveMemory(deps, kept.now, awake);
    await deps.guests.settle(kept.now.id); // the guest has forgotten what was acknowledged
    await kept.change(() => ({ asleep: { atMs: deps.clock.now().getTime(), reason, memory, ...state } }));
  } catch (error) {
    await rm(deps.store.placeOf(kept.now.id).memory, { force: true });
    // When that fails it is lost, which is seen.
    const runsOn = await awake.microVm.machine.resume().then(
      () => {
        awake.agent.thaw({ deadlineMs: THAW_MS }).catch(() => {}); // it was not frozen, or thaws by itself
        return " and runs on";
      },
      () => "",
    );
    throw new AppError("unavailable", `the sandbox could not be put to sleep${runsOn}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
