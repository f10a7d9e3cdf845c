/** What may be killed under a synced workspace, and how it comes back. */
import { dirname, join } from "node:path";
import { waitFor } from "@mags/test-kit";
import { findProcess, trySigkill } from "./processes.ts";
import type { S3Server } from "./s3-server.ts";

const NAMES = ["server", "block server", "QEMU", "gateway", "stalled gateway", "object store"] as const;
export type Victim = (typeof NAMES)[number];
/** All of the object store takes ten seconds to come back, what speaks S3 in front of it two. */
const WEIGHTS: Readonly<Record<Victim, number>> = {
  ...{ server: 3, "block server": 2, QEMU: 2, gateway: 2, "stalled gateway": 1, "object store": 1 },
};

export interface Victims {
  /** Those that are killed more often stand in it more often. */
  readonly names: readonly Victim[];
  /**
   * SIGKILL, and SIGSTOP for what is to stall.
   * @param workspace  Whose QEMU.
   * @returns false when there is none now.
   */
  kill(victim: Victim, workspace: string | undefined): Promise<boolean>;
  /** Starts again what was killed and does not come back by itself. */
  bringBack(): Promise<void>;
}

export function createVictims({ server, radosgw }: S3Server): Victims {
  const configFile = join(dirname(server.dataDir), "magsd.json");
  let serverIsUp = true;

  const storeFaults: Readonly<Partial<Record<Victim, () => Promise<void> | void>>> = {
    gateway: radosgw.killGateway,
    "stalled gateway": radosgw.stallGateway,
    "object store": radosgw.kill,
  };

  async function pidOf(victim: Victim, workspace: string | undefined): Promise<number | undefined> {
    if (victim === "block server") return findProcess("block-server", "--config", configFile);
    if (victim === "server") return findProcess("serve", "--config", configFile);
    if (workspace === undefined) return undefined;
    const reply = await server.api.call("GET", `/api/v1/mags-jobs/${workspace}/status`).catch(() => undefined);
    const vmId = (reply?.body as { readonly vm_id?: string } | undefined)?.vm_id;
    return vmId === undefined ? undefined : server.qemuPid(vmId).catch(() => undefined); // being made, or gone
  }

  return {
    names: NAMES.flatMap((name) => Array.from({ length: WEIGHTS[name] }, () => name)),
    async kill(victim, workspace) {
      const ofStore = storeFaults[victim];
      if (ofStore) {
        await ofStore();
        return true;
      }
      const pid = await pidOf(victim, workspace);
      if (pid === undefined) return false;
      trySigkill(pid);
      if (victim !== "server") return true;
      serverIsUp = false;
      await waitFor(async () => (await pidOf(victim, workspace)) !== pid, { what: "the end of the server" });
      return true;
    },
    async bringBack() {
      if (!serverIsUp) await server.start();
      serverIsUp = true;
      await radosgw.restart();
    },
  };
}
