/** Takes over what an earlier process left of sandboxes: their microVMs, and what the block server has for them. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf } from "@mags/core";
import type { AgentConnection } from "../agent/index.ts";
import { connectGuest, tellTime } from "../microvm/guest.ts";
import type { MicroVmRecord } from "../microvm/record.ts";
import { detachBase } from "../qemu/disk-view/detach-base.ts";
import { viewPlaceOf } from "../qemu/disk-view/place.ts";
import { settleDisk } from "../qemu/disk-view/settle.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import { MEMORY, type SandboxRecord } from "./sandbox-record.ts";

const BLOCKS_MS = 30_000;

/** @throws AppError `microvm_lost` with a reason for people. */
export async function adopt(deps: SandboxDeps, found: MicroVmRecord, record: SandboxRecord): Promise<Awake> {
  const { host, store } = deps;
  const { id } = record;
  const microVm = await host.adopt(found);
  const { machine, paths } = microVm;
  // The earlier process may have ended while it put it to sleep, published it, or before it let it run.
  await machine.cancelSave();
  if (record.policy.syncTo || record.base)
    await settleDisk(machine.qmp, viewPlaceOf(microVm), { since: record.published?.mark ?? null });
  if (!record.base) await detachBase(machine.qmp);
  const state = await machine.status();
  if (state === "paused" || state === "waiting") await machine.resume();
  else if (state !== "running") throw new AppError("microvm_lost", `the guest ${state} while the server was away`);
  for (const path of [join(paths.jail, MEMORY), store.placeOf(id).memory]) await rm(path, { force: true });
  let agent: AgentConnection;
  try {
    agent = await connectGuest(microVm, deps, { first: (connection) => tellTime(connection, deps) });
  } catch (cause) {
    const message = `its guest agent did not answer after a restart of the server: ${messageOf(cause)}`;
    throw new AppError("microvm_lost", message, { cause });
  }
  const { diskState, identity } = await agent.hello;
  if (diskState !== "none" && identity.some((byte) => byte !== 0)) return { microVm, agent };
  await agent[Symbol.asyncDispose]();
  throw new AppError("microvm_lost", "the earlier server ended before its guest had disk and identity");
}

/** Disks that stand on a version answer nothing without the block server, and their QEMU then not much either. */
export async function reachBlocks(
  { blocks, log }: Pick<SandboxDeps, "blocks" | "log">,
  records: readonly SandboxRecord[],
): Promise<void> {
  if (records.every(({ base }) => base === null)) return;
  await blocks
    .call("served", {}, { signal: AbortSignal.timeout(BLOCKS_MS) })
    .catch((error: unknown) => log.error("sandbox.blocks_not_reached", { error: messageOf(error) }));
}

/** Ends what is served for disks that stand on nothing any more, or are gone: no QEMU has it as a base. */
export async function unserveOthers(
  { blocks, log }: Pick<SandboxDeps, "blocks" | "log">,
  records: readonly SandboxRecord[],
): Promise<void> {
  const standing = new Set<string>(records.filter(({ base }) => base).map(({ id }) => id));
  const signal = AbortSignal.timeout(BLOCKS_MS);
  try {
    if (!(await blocks.keepsServed())) return;
    for (const id of await blocks.call("served", {}, { signal }))
      if (!standing.has(id)) await blocks.call("unserve", { id }, { signal });
  } catch (error) {
    log.error("sandbox.blocks_not_settled", { error: messageOf(error) });
  }
}

/** Removes a microVM that no sandbox needs; what fails is told of, and tried again by the next start. */
export async function discard(
  { host, log }: Pick<SandboxDeps, "host" | "log">,
  found: MicroVmRecord | undefined,
): Promise<void> {
  if (!found) return;
  await host
    .discard(found)
    .catch((error: unknown) => log.error("sandbox.microvm_not_removed", { error: messageOf(error) }));
}
