/**
 * Publishing what changed on an 8 GB disk of a running guest, against programs that back up files: the same files, changed in
 * the same way, on the host, to the same object store through the same counting proxy.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import type { Traffic } from "./counting-proxy.ts";
import { debianProgram } from "./debian-program.ts";
import { usageOf } from "./processes.ts";
import { changedFiles, projectFiles, writeFiles } from "./seeded-files.ts";
import { percentile, round, showSummary, summarize } from "./statistics.ts";
import { type SyncedServer, startSyncedServer } from "./synced-server.ts";

const MIB = 1024 ** 2;
const SIZES = [
  { mib: 20, rounds: 5 },
  { mib: 500, rounds: 2 },
] as const;
const UNCHANGED = 30;
const STALLS = 20;
/** Of a round in which the half-minute's own sync did not come in between. */
const WHOLE = 0.98;
const ATTEMPTS = 3;

interface Published {
  readonly ms: number;
  readonly processorMs: number;
  readonly traffic: Traffic;
}

interface Rival {
  readonly name: string;
  /** Brings the tree to the store; what is there already is left. */
  publish(): Promise<Published>;
}

/** @param folder  What is backed up; caches and settings lie beside it. */
async function rivals(
  { gateway, proxy }: SyncedServer,
  { folder, beside, say }: { readonly folder: string; readonly beside: string; readonly say: (line: string) => void },
): Promise<readonly Rival[]> {
  const restic = await debianProgram({ packageName: "restic", program: "usr/bin/restic" }, say);
  const rclone = await debianProgram({ packageName: "rclone", program: "usr/bin/rclone" }, say);
  for (const bucket of ["restic", "rclone"]) await gateway.createBucket(bucket);
  const env = {
    ...{ HOME: beside, AWS_ACCESS_KEY_ID: gateway.accessKey, AWS_SECRET_ACCESS_KEY: gateway.secretKey },
    ...{
      RESTIC_PASSWORD: "benchmark",
      RESTIC_REPOSITORY: `s3:${proxy.url}/restic`,
      RESTIC_CACHE_DIR: join(beside, "c"),
    },
    ...{ RCLONE_CONFIG_STORE_TYPE: "s3", RCLONE_CONFIG_STORE_PROVIDER: "Ceph", RCLONE_CONFIG_STORE_ENV_AUTH: "true" },
    ...{ RCLONE_CONFIG_STORE_ENDPOINT: proxy.url, RCLONE_CONFIG: join(beside, "rclone.conf") },
  };
  const succeed = async (program: string, args: readonly string[]) => {
    const { exitCode, errors } = await run(program, args, { env, timeoutMs: 600_000 });
    if (exitCode !== 0) throw new Error(`${program} ${args.join(" ")}: ${errors}`);
  };
  await succeed(restic, ["init"]);
  const rival = (name: string, program: string, args: readonly string[]): Rival => ({
    name,
    async publish() {
      proxy.take();
      const processor = childrenProcessorMs();
      const began = performance.now();
      await succeed(program, args);
      const ms = performance.now() - began;
      return { ms, processorMs: childrenProcessorMs() - processor, traffic: proxy.take() };
    },
  });
  return [
    rival("restic backup", restic, ["backup", "--quiet", folder]),
    rival("rclone sync", rclone, ["sync", folder, "store:rclone/tree"]),
  ];
}

/** Of all processes that this one has started and that have ended. */
function childrenProcessorMs(): number {
  const [, , user = 0, system = 0] = process
    .getBuiltinModule("node:fs")
    .readFileSync("/proc/self/stat", "latin1")
    .replace(/^.*\) /, "")
    .split(" ")
    .slice(11, 15)
    .map(Number);
  return (user + system) * 10;
}

async function ours(synced: SyncedServer, id: string): Promise<Published & { readonly changedBytes: number }> {
  const { server, proxy } = synced;
  const { pid } = await server.serverStatus();
  const { vm_id } = await server.status(id);
  const qemu = await server.qemuPid(vm_id ?? "");
  const processor = async () => {
    const usages = await Promise.all([usageOf(pid), usageOf(qemu), synced.blockServer()]);
    return usages.reduce((sum, { processorMs }) => sum + processorMs, 0);
  };
  proxy.take();
  const before = await processor();
  const ms = await synced.sync(id);
  const processorMs = (await processor()) - before;
  const traffic = proxy.take();
  return { ms, processorMs, traffic, changedBytes: (await synced.syncs(id)).at(-1)?.changedBytes ?? 0 };
}

function figuresOf(rounds: readonly Published[]) {
  const median = (of: (round: Published) => number, digits = 0) => round(percentile(rounds.map(of), 0.5), digits);
  return {
    n: rounds.length,
    ms: median(({ ms }) => ms),
    processor_ms: median(({ processorMs }) => processorMs),
    sent_mib: median(({ traffic }) => traffic.sentBytes / MIB, 1),
    puts: median(({ traffic }) => traffic.puts),
    gets: median(({ traffic }) => traffic.gets),
  };
}

/** Prints, each 10 ms, 50 KB more into a file: 5 MB/s. Its last line: the longest and the 99th of 100 of its writes, in ms. */
const WRITER = `
import os, time, sys
end = time.monotonic() + float(sys.argv[1])
block = os.urandom(51200)
took = []
next = time.monotonic()
with open("/root/steady", "wb", buffering=0) as file:
    while time.monotonic() < end:
        began = time.monotonic()
        file.write(block)
        took.append((time.monotonic() - began) * 1000)
        if file.tell() > 200 << 20: file.seek(0)
        next += 0.01
        time.sleep(max(0, next - time.monotonic()))
took.sort()
print(round(took[-1], 1), round(took[int(len(took) * .99)], 1), round(len(took) * 51200 / 1e6 / float(sys.argv[1]), 1))
`;

async function steadyWriter(synced: SyncedServer, id: string, seconds: number): Promise<string> {
  return (await synced.client.exec(id, `python3 /root/writer.py ${seconds}`, { timeoutS: 2 * seconds })).trim();
}

export const workspaceSync: Benchmark = async ({ say, note }) => {
  await using scope = new AsyncDisposableStack();
  const beside = await mkdtemp("/var/tmp/mags-bench-");
  scope.defer(() => rm(beside, { recursive: true, force: true }));
  const folder = join(beside, "tree");
  const synced = scope.use(await startSyncedServer());
  const { server, proxy } = synced;
  const others = await rivals(synced, { folder, beside, say });
  const id = await synced.begin({ script: "true", persistent: true, workspace_id: "bench", disk_gb: 8 });
  const copyIn = async (part: string) => {
    const { exitCode, errors } = await server.mags(["cp", "--", join(folder, part), `${id}:/root/tree/${part}`], {
      timeoutMs: 600_000,
    });
    if (exitCode !== 0) throw new Error(`mags cp: ${errors}`);
  };

  await writeFiles(folder, projectFiles());
  await synced.client.exec(id, "mkdir -p /root/tree");
  for (const part of ["lib", "data"]) await copyIn(part);
  const firstMs = await synced.sync(id);
  for (const rival of others) await rival.publish();
  say(
    `sync of an 8 GB disk to radosgw; ${projectFiles().size} files, 240 MB, are there: ${round(firstMs)} ms for the rest of them`,
  );

  for (const { mib, rounds } of SIZES) {
    const results = new Map<string, Published[]>([
      ["mags", []],
      ...others.map(({ name }) => [name, []] as [string, Published[]]),
    ]);
    for (let done = 0, cut = 0; done < rounds; ) {
      await writeFiles(folder, changedFiles(mib));
      await synced.sync(id); // the next of its own is half a minute away
      await copyIn("changed");
      const mine = await ours(synced, id);
      if (mine.changedBytes < WHOLE * mib * MIB) {
        if (++cut === ATTEMPTS) throw new Error(`a sync of its own came in between ${cut} times`);
        continue;
      }
      cut = 0;
      results.get("mags")?.push(mine);
      for (const rival of others) results.get(rival.name)?.push(await rival.publish());
      done++;
    }
    say(`  ${mib} MiB changed; medians`);
    for (const [name, published] of results) {
      const figures = figuresOf(published);
      say(`    ${name.padEnd(16)} ${JSON.stringify(figures)}`);
      note(`sync_${mib}_mib_${name.replace(" ", "_")}`, figures);
    }
  }

  await synced.sync(id);
  proxy.take();
  const unchanged: number[] = [];
  for (let n = 0; n < UNCHANGED; n++) unchanged.push(await synced.sync(id));
  const { puts, gets } = proxy.take();
  say(showSummary("sync, nothing changed", summarize(unchanged)));
  say(`    puts ${puts}, gets ${gets} in ${UNCHANGED} of them`);
  note("sync_unchanged", { ...summarize(unchanged), puts, gets });

  await synced.client.exec(id, `cat > /root/writer.py <<'END'\n${WRITER}\nEND`);
  const alone = await steadyWriter(synced, id, 20);
  const known = (await synced.syncs(id)).length;
  const writing = steadyWriter(synced, id, 2 * STALLS);
  for (let n = 0; n < STALLS; n++) {
    const began = performance.now();
    await synced.sync(id);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 2_000 - (performance.now() - began))));
  }
  const beneath = await writing;
  const stalls = (await synced.syncs(id)).slice(known).map(({ stallMs }) => stallMs);
  say(showSummary("guest held up by a sync, it writes 5 MB/s", summarize(stalls)));
  say(`    its writes, longest and P99 in ms, MB/s: without syncs ${alone}; with one each 2 s ${beneath}`);
  note("sync_stall", { ...summarize(stalls), writes_alone: alone, writes_with_syncs: beneath });
};
