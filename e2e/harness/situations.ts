/** Kills a server with SIGKILL at random moments of all it does by itself and for jobs, and looks at what is left. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createSeededRandom, type SeededRandom, waitFor } from "@mags/test-kit";
import { findProcess } from "./processes.ts";
import type { TestServer } from "./server.ts";

interface Situation {
  readonly what: string;
  /** Resolves with the jobs that must come to an end. */
  readonly begin: (server: TestServer, random: SeededRandom) => Promise<string[]>;
}

/** Each in its turn. */
export const SITUATIONS: readonly Situation[] = [
  {
    what: "starting",
    async begin(server) {
      await killServer(server);
      void server.start().catch(() => {}); // it will be killed
      await waitFor(() => serverPid(server), { what: "its process" });
      return [];
    },
  },
  {
    what: "filling its pool",
    async begin(server) {
      await server.magsd("stop");
      await server.start();
      return [];
    },
  },
  {
    what: "building a template",
    begin: async (server, random) => [await server.submit({ script: "true", memory_mb: random.between(256, 455) })],
  },
  {
    what: "starting and ending jobs",
    begin: (server, random) =>
      Promise.all(
        [1, 2, 3].map((n) => server.submit({ script: `sleep ${(random.next() / 2).toFixed(2)}; exit ${n}` })),
      ),
  },
  {
    what: "making a disk",
    begin: async (server, random) => [await server.submit({ script: "true", disk_gb: random.between(3, 92) })],
  },
  {
    what: "stopping",
    async begin(server) {
      await server.submit({ script: "sleep 0.5" });
      void server.magsd("stop");
      return [];
    },
  },
];

/** The server's process, also while it cannot be asked yet. */
const serverPid = (server: TestServer) => findProcess("serve", "--config", join(dirname(server.dataDir), "magsd.json"));

async function killServer(server: TestServer): Promise<void> {
  const pid = await serverPid(server);
  if (pid === undefined) return;
  process.kill(pid, "SIGKILL");
  await waitFor(async () => (await serverPid(server)) !== pid, { what: "the end of the server" });
}

/** After each start all jobs complete, `pool` VMs are parked, and nothing is there that belongs to nothing. */
export async function killInSituations(
  server: TestServer,
  options: { readonly rounds: number; readonly seed: number; readonly pool: number },
): Promise<void> {
  const { rounds, seed, pool } = options;
  const random = createSeededRandom(seed);
  for (let round = 0; round < rounds; round++) {
    const situation = SITUATIONS[round % SITUATIONS.length] ?? assert.fail();
    const ids = await situation.begin(server, random);
    const afterMs = Math.floor(random.next() ** 2 * 3_000);
    await delay(afterMs);
    await killServer(server);
    const where = `seed ${seed}, round ${round}, killed while ${situation.what}, after ${afterMs} ms`;
    await server.start();
    for (const id of ids) {
      const { status, error_message } = await server.ended(id);
      assert.equal(status, "completed", `${where}: ${error_message}`);
    }
    await server.poolFilled(pool);
    const { text, errors } = await server.magsd("doctor", "--leaks", "--json");
    assert.ok(text.startsWith("{"), errors);
    assert.deepEqual((JSON.parse(text) as { readonly leaks: readonly unknown[] }).leaks, [], where);
  }
}
