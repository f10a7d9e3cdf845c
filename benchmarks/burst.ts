/** Many jobs at once against a pool of ten. */
import { startServer } from "@mags/e2e/harness";
import { createBenchClient } from "./api.ts";
import type { Benchmark } from "./context.ts";
import { showSummary, summarize } from "./statistics.ts";

const POOL = 10;
const ROUNDS = 3;

export const burst: Benchmark = async ({ say, note }) => {
  await using server = await startServer({ node: { pool: { min_idle: POOL, slot_share: 0 } } });
  const client = createBenchClient(server.url, server.token);
  for (const size of [10, 50]) {
    const firstBytes: number[] = [];
    let failed = 0;
    let inversions = 0;
    for (let round = 0; round < ROUNDS; round++) {
      await server.poolFilled(POOL);
      const jobs = await Promise.all(Array.from({ length: size }, () => client.runJob({ script: "echo hi" })));
      failed += jobs.filter((job) => job.exitCode !== 0).length;
      firstBytes.push(...jobs.map((job) => job.firstByteMs));
      inversions += outOfOrder(jobs.map(({ acceptedMs, firstByteMs }) => ({ acceptedMs, firstByteMs })));
    }
    const summary = summarize(firstBytes);
    const pairs = (ROUNDS * size * (size - 1)) / 2;
    const share = inversions / pairs;
    say(
      `burst of ${size} on a pool of ${POOL}, ${ROUNDS} rounds: ${failed} failed; ${Math.round(share * 1000) / 10} % of pairs served in another order than accepted`,
    );
    say(showSummary("submit → first output byte", summary));
    note(`burst_${size}`, { failed, first_byte: summary, share_of_pairs_out_of_order: share });
  }
  client.close();
};

/** Pairs of which the one accepted later printed earlier. */
function outOfOrder(jobs: readonly { readonly acceptedMs: number; readonly firstByteMs: number }[]): number {
  const sorted = [...jobs].sort((a, b) => a.acceptedMs - b.acceptedMs);
  let count = 0;
  for (const [n, earlier] of sorted.entries())
    for (const later of sorted.slice(n + 1)) if (later.firstByteMs < earlier.firstByteMs) count++;
  return count;
}
