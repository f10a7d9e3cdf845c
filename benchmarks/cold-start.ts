/** Without a pool: restore a clone, give it its disk, run. And how fast the pool fills. */
import { startServer } from "@mags/e2e/harness";
import { createBenchClient } from "./api.ts";
import type { Benchmark } from "./context.ts";
import { round, showSummary, summarize } from "./statistics.ts";

const RUNS = 20;
const POOL = 20;

export const coldStart: Benchmark = async ({ say, note }) => {
  {
    await using server = await startServer({ node: { pool: { min_idle: 0, max_idle: 0 } } });
    const client = createBenchClient(server.url, server.token);
    const jobs = [];
    for (let n = 0; n < RUNS; n++) jobs.push(await client.runJob({ script: "echo hi" }));
    const figures = summarize(jobs.map((job) => job.firstByteMs));
    say("empty pool");
    say(showSummary("submit → first output byte", figures));
    note("empty_pool_first_byte", figures);
    client.close();
  }
  await using server = await startServer({ node: { pool: { min_idle: POOL } } });
  const startedAt = performance.now();
  const { pool } = await server.serverStatus();
  await server.poolFilled(POOL);
  const perSecond = (POOL - pool.idle_vms) / ((performance.now() - startedAt) / 1000);
  say(`  refill of ${POOL - pool.idle_vms} clones, nothing else running: ${round(perSecond, 2)} clones/s`);
  note("refill_per_second", round(perSecond, 2));
};
