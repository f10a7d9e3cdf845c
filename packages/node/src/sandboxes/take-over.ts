/** Takes over what an earlier process left of sandboxes: their microVMs, and what the block server has for them. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf, sleep } from "@mags/core";
import type { AgentConnection } from "../agent/index.ts";
import { connectGuest, greetGuest, tellTime } from "../microvm/guest.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import type { MicroVmRecord } from "../microvm/record.ts";
import { detachBase } from "../qemu/disk-view/detach-base.ts";
import { viewPlaceOf } from "../qemu/disk-view/place.ts";
import { settleDisk } from "../qemu/disk-view/settle.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import { MEMORY, type SandboxRecord } from "./sandbox-record.ts";

const BLOCKS_MS = 30_000;
/** For the agent of a guest in which a write waits: it may answer, and is waited for beside the start when it does not. */
const STUCK_MS = 3_000;
/** For the agent of a guest that has gone on. */
const SILENT_MS = 30_000;
const LOOK_MS = 1_000;
const SILENT = "its guest agent did not answer after a restart of the server";

export interface Adopted extends Awake {
  /** Its guest stands still in the middle of a write, and its agent with it: `untilAnswered` waits for it. */
  readonly silent: boolean;
}

/** @throws AppError `microvm_lost` with a reason for people. */
export async function adopt(deps: SandboxDeps, found: MicroVmRecord, record: SandboxRecord): Promise<Adopted> {
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
  const agent = await tryConnect(deps, microVm, { deadlineMs: state === "waiting" ? STUCK_MS : undefined });
  if (!agent) return { microVm, agent: await greetGuest(microVm, deps), silent: true };
  try {
    await mustBeWhole(agent);
  } catch (error) {
    await agent[Symbol.asyncDispose]();
    throw error;
  }
  return { microVm, agent, silent: false };
}

/** @returns nothing when it does not answer because a write of it waits. */
async function tryConnect(
  deps: SandboxDeps,
  microVm: MicroVm,
  { deadlineMs }: { readonly deadlineMs: number | undefined },
): Promise<AgentConnection | undefined> {
  const first = (connection: AgentConnection) => tellTime(connection, deps);
  try {
    return await connectGuest(microVm, deps, { first, ...(deadlineMs !== undefined && { deadlineMs }) });
  } catch (cause) {
    if (microVm.machine.stuck.aborted) return undefined;
    if (deadlineMs !== undefined) return await tryConnect(deps, microVm, { deadlineMs: undefined });
    throw new AppError("microvm_lost", `${SILENT}: ${messageOf(cause)}`, { cause });
  }
}

/** @throws AppError `microvm_lost` */
async function mustBeWhole(agent: AgentConnection): Promise<void> {
  const { diskState, identity } = await agent.hello;
  if (diskState === "none" || identity.every((byte) => byte === 0))
    throw new AppError("microvm_lost", "the earlier server ended before its guest had disk and identity");
}

/**
 * Resolves when the agent of one that was silent has answered, however long its write waits.
 * @throws AppError `microvm_lost` when it does not although nothing waits any more, or its connection has ended.
 */
export async function untilAnswered(deps: SandboxDeps, { microVm, agent }: Awake): Promise<void> {
  const ready = agent.ready.then(() => true);
  for (let silentMs = 0; !(await Promise.race([ready, sleep(LOOK_MS).then(() => false)])); ) {
    silentMs = microVm.machine.stuck.aborted ? 0 : silentMs + LOOK_MS;
    if (silentMs >= SILENT_MS) throw new AppError("microvm_lost", SILENT);
  }
  await mustBeWhole(agent);
  tellTime(agent, deps);
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
