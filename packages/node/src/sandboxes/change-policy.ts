/** How a sandbox is to be treated from now on; possible also while its disk is being published. */
import { isDeepStrictEqual } from "node:util";
import { messageOf } from "@mags/core";
import type { SandboxPolicy } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";

const SYNCED_FOLDER = "/jfs";
const FOLDER_MS = 10_000;

/** On stable storage when it resolves. One that was cut off is asked for again, as the record still differs. */
export async function changePolicy(
  { egress, log }: Pick<SandboxDeps, "egress" | "log">,
  life: SandboxLife,
  policy: SandboxPolicy,
): Promise<void> {
  await life.underOnePolicy(async () => {
    const { policy: before } = life.kept.now;
    const { awake } = life;
    if (isDeepStrictEqual(before, policy)) return;
    if (awake && !isDeepStrictEqual(before.egress, policy.egress))
      await egress.change(awake.microVm.index, policy.egress);
    if (awake && !before.syncTo && policy.syncTo) await tryMakeSyncedFolder({ log }, life, awake);
    await life.write({ policy, ...(!before.syncTo && policy.syncTo && { wasLocal: true }) });
  });
}

/** A guest that does not answer gets it when it wakes again. */
export async function tryMakeSyncedFolder(
  { log }: Pick<SandboxDeps, "log">,
  { id }: Pick<SandboxLife, "id">,
  { agent }: Awake,
): Promise<void> {
  await makeSyncedFolder(agent).catch((error: unknown) =>
    log.warn("sandbox.no_synced_folder", { sandboxId: id, error: messageOf(error) }),
  );
}

/** Where scripts expect what is kept with a synced workspace. All of the disk is: this is a folder of it. May be repeated. */
export async function makeSyncedFolder(agent: AgentConnection): Promise<void> {
  await agent.makeDirectory({ path: SYNCED_FOLDER, parents: true }, { deadlineMs: FOLDER_MS });
}
