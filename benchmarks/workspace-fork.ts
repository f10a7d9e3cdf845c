/** A fork of a workspace with 2 GB: first byte, against a fresh start and against fetching all of it; and how fast it is read. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Benchmark } from "./context.ts";
import { round, showSummary, summarize } from "./statistics.ts";
import { startSyncedServer } from "./synced-server.ts";

const RUNS = 15;
const READ_MIB = 256;

/** Bytes of which no 64 KiB are like others, and which cannot be compressed, as fast as the guest can write. */
const FILL = `
import os
block = os.urandom(65528)
with open("/root/big", "wb") as file:
    for n in range((2 << 30) // 65536):
        file.write(n.to_bytes(8, "little")); file.write(block)
    file.flush(); os.fsync(file.fileno())
`;
const READ = `echo 3 >/proc/sys/vm/drop_caches; dd if=/root/big of=/dev/null bs=1M count=${READ_MIB} 2>&1 | tail -1`;

/** @returns MiB/s. */
function speedOf(output: string): number {
  const seconds = /([\d.]+) s,/.exec(output)?.[1];
  return round(READ_MIB / Number(seconds));
}

export const workspaceFork: Benchmark = async ({ say, note }) => {
  await using scope = new AsyncDisposableStack();
  const beside = await mkdtemp("/var/tmp/mags-bench-");
  scope.defer(() => rm(beside, { recursive: true, force: true }));
  const synced = scope.use(await startSyncedServer());
  const { server, client } = synced;
  const base = await synced.begin({
    ...{ script: `cat > /tmp/fill.py <<'END'\n${FILL}\nEND\npython3 /tmp/fill.py` },
    ...{ persistent: true, workspace_id: "golden", disk_gb: 8 },
  });
  await synced.sync(base);
  const local = speedOf(await client.exec(base, READ));
  await synced.stop(base);

  const fresh: number[] = [];
  const forked: number[] = [];
  for (let n = -1; n < RUNS; n++) {
    await server.poolFilled(3);
    const { firstByteMs: freshMs } = await client.runJob({ script: "echo hi", disk_gb: 8 });
    await server.poolFilled(3);
    const job = await client.runJob({ script: "echo hi", base_workspace_id: "golden", disk_gb: 8 });
    if (job.exitCode !== 0) throw new Error(`the fork ended with ${job.exitCode}`);
    if (n < 0) continue; // warm-up
    fresh.push(freshMs);
    forked.push(job.firstByteMs);
  }
  const began = performance.now();
  const exported = await server.magsd("store", "export", "golden", join(beside, "disk"));
  if (exported.exitCode !== 0) throw new Error(exported.errors);
  const exportMs = performance.now() - began;
  const figures = { fresh: summarize(fresh), fork: summarize(forked), export_ms: round(exportMs, 0) };
  say("submit → first byte, in turn");
  say(showSummary("fork of a workspace with 2 GB", figures.fork));
  say(showSummary("reference: a fresh start", figures.fresh));
  say(
    `    ratio of the medians: ${round(figures.fork.p50 / figures.fresh.p50, 2)}; fetching all of it (magsd store export): ${round(exportMs / 1_000)} s`,
  );
  note("fork", figures);

  await rm(join(server.dataDir, "blocks/cache"), { recursive: true, force: true });
  const speeds: number[] = [];
  for (const _ of ["cold", "warm"]) {
    const id = await synced.begin({
      script: "true",
      base_workspace_id: "golden",
      workspace_id: `f${speeds.length}`,
      persistent: true,
    });
    speeds.push(speedOf(await client.exec(id, READ)));
    await synced.stop(id);
  }
  const [cold, warm] = speeds;
  say(
    `reading ${READ_MIB} MiB of a fork in its guest: ${cold} MiB/s out of the store, ${warm} out of the node's cache; a disk of its own: ${local}`,
  );
  note("restore_mib_per_s", { cold, warm, local });
};
