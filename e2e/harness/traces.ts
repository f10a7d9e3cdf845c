import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "@mags/test-kit";
import type { TestServer } from "./server.ts";

interface Remains {
  readonly leaks: readonly unknown[];
  readonly for_next_start: readonly unknown[];
  readonly going_on: readonly unknown[];
}

/** What is there besides parked VMs; nothing of each kind when all is as it should be. */
async function besidesParkedVms(server: TestServer): Promise<Readonly<Record<string, number | readonly unknown[]>>> {
  const { idle_vms, busy_vms } = (await server.serverStatus()).pool;
  const [vms, outcomes] = await Promise.all(["vms", "outcomes"].map((name) => readdir(join(server.dataDir, name))));
  const { text, errors } = await server.magsd("doctor", "--leaks", "--json");
  assert.ok(text, errors);
  const { leaks, for_next_start, going_on } = JSON.parse(text) as Remains;
  return {
    busy_vms,
    more_vms: (vms?.length ?? 0) - idle_vms,
    outcomes: outcomes ?? [],
    leaks,
    for_next_start,
    going_on,
  };
}

/** Resolves when no VM is busy, no end of a job is kept, and nothing is on the host but for parked VMs. */
export async function untilParkedOnly(server: TestServer): Promise<void> {
  const parkedOnly = async () =>
    Object.values(await besidesParkedVms(server)).every(
      (found) => (typeof found === "number" ? found : found.length) === 0,
    );
  await waitFor(parkedOnly, { what: "parked VMs only", deadlineMs: 30_000, intervalMs: 200 }).catch(async () =>
    assert.fail(`there is ${JSON.stringify(await besidesParkedVms(server))}`),
  );
}
