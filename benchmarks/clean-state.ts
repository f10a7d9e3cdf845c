/** How long until all is as it should be again after twenty microVMs lost their server, and after all twenty died at once. */
import assert from "node:assert/strict";
import { startServer, untilParkedOnly } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { round } from "./statistics.ts";

const JOBS = 20;
const POOL = 3;

export const cleanState: Benchmark = async ({ say, note }) => {
  await using server = await startServer({ node: { pool: { min_idle: POOL, max_idle: POOL } } });
  const ids = await Promise.all(Array.from({ length: JOBS }, () => server.submit({ script: "echo on; sleep 3600" })));
  for (const id of ids) await server.running(id, 120_000);
  await server.poolFilled(POOL);

  await server.kill();
  const startedAt = performance.now();
  const secondsSince = (from: number) => round((performance.now() - from) / 1000, 2);
  await server.start();
  const readyS = secondsSince(startedAt);
  await server.poolFilled(POOL);
  const pooledS = secondsSince(startedAt);
  const { pool } = await server.serverStatus();
  assert.equal(pool.busy_vms, JOBS);
  for (const id of ids) assert.equal((await server.mags(["exec", id, "true"])).exitCode, 0);
  say(`kill -9 of the server, ${JOBS} jobs running and ${POOL} VMs parked`);
  say(`  start of the server → ready, all ${JOBS} microVMs adopted: ${readyS} s; → pool as before: ${pooledS} s`);

  const pids = await Promise.all(ids.map(async (id) => server.qemuPid((await server.status(id)).vm_id ?? "")));
  const killedAt = performance.now();
  for (const pid of pids) process.kill(pid, "SIGKILL");
  for (const id of ids) {
    const status = await server.ended(id);
    assert.equal(status.status, "error");
    assert.match(status.error_message ?? "", /QEMU process ended unexpectedly/);
  }
  const endedS = secondsSince(killedAt);
  await untilParkedOnly(server);
  const cleanS = secondsSince(killedAt);
  say(`kill -9 of all ${JOBS} QEMUs`);
  say(`  → all jobs in error, with the reason: ${endedS} s; → nothing left of them on the host: ${cleanS} s`);
  note("clean_state", { jobs: JOBS, ready_s: readyS, pool_s: pooledS, ended_s: endedS, clean_s: cleanS });
};
