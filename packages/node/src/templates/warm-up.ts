/**
 * What a guest does once before it is a template, and what each clone does before it is parked. Emulated code is slow the
 * first time, so the paths of a start are walked before a user waits for them.
 */
import type { Clock, Logger } from "@mags/core";
import type { AgentConnection } from "../agent/index.ts";
import { giveIdentity } from "../microvm/guest.ts";

export interface WarmUpDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/** Images need have nothing but a shell; what else one lacks is not warmed. */
const TEMPLATE_COMMANDS = [
  "echo warm; ls / >/dev/null; cat /etc/os-release >/dev/null; id; hostname; /bin/true",
  "[ ! -x /bin/bash ] || exec /bin/bash -c 'echo warm'",
];
const CLONE_ROUNDS = 3;
const SCRIPT = "#!/bin/sh\necho warm\n";

/** Pulls in what every script touches, on a file system in memory; nothing that keeps random numbers of its own may run on. */
export async function warmTemplate(agent: AgentConnection, deps: WarmUpDeps): Promise<void> {
  await agent.attachDisk({ upper: "tmpfs", sizeBytes: 0 });
  await giveIdentity(agent, deps);
  for (const command of TEMPLATE_COMMANDS) await agent.run({ argv: ["/bin/sh", "-c", command] });
  await agent.run({ script: SCRIPT });
  await agent.detachDisk();
}

/** Walks the path of a start, with the disk attached. */
export async function warmClone(agent: AgentConnection, deps: WarmUpDeps): Promise<void> {
  for (let round = 0; round < CLONE_ROUNDS; round++) {
    await giveIdentity(agent, deps);
    await agent.run({ script: SCRIPT });
    await agent.run({ script: "echo warm" });
  }
  await agent.sync({ rounds: 1 });
  await agent.freeze({ watchdogMs: 5_000 });
  await agent.thaw();
}
