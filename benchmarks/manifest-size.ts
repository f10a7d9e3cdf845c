/** What a sync costs by the size of the disk: 2 GiB in use, 20 MiB of it changed, on disks of 2, 20 and 200 GiB. No VM. */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "@mags/core";
import { makeFileStore, openFileStore } from "@mags/object-store";
import {
  acquireLease,
  CHUNK_BYTES,
  createVersionWriter,
  type Lease,
  latestOf,
  openVersion,
  recordsOf,
  type VersionName,
} from "@mags/workspace-store";
import type { Benchmark } from "./context.ts";
import { round, summarize } from "./statistics.ts";

const GIB = 1 << 30;
const SIZES_GIB = [2, 20, 200];
/** What lies together: 1 MiB. */
const RUN_CHUNKS = 16;
const USED_RUNS = (2 * GIB) / CHUNK_BYTES / RUN_CHUNKS;
const CHANGED_RUNS = 20;
const SYNCS = 7;
const IMAGE = { name: "standard", digest: `sha256:${"0".repeat(64)}` };
const { signal } = new AbortController();

type Store = Awaited<ReturnType<typeof openFileStore>>;
interface Disk {
  readonly sizeGiB: number;
  readonly lease: Lease;
  /** Where the n-th run lies: together at the front, or spread over all of the disk. */
  readonly firstChunk: (run: number) => number;
}

async function sync(
  store: Store,
  { sizeGiB, lease, firstChunk }: Disk,
  {
    runs,
    fill,
    reason,
  }: {
    readonly runs: readonly number[];
    readonly fill: (at: number) => Buffer;
    readonly reason: "promotion" | "interval";
  },
) {
  const begunMs = performance.now();
  const records = recordsOf(store, lease.account);
  const latest: VersionName | undefined = latestOf(lease.head);
  const parent = latest && (await openVersion(store, lease, { name: latest, records, signal }));
  const version = { parent, image: IMAGE, diskBytes: sizeGiB * GIB };
  await using writer = createVersionWriter({ store, lease, clock: systemClock }, version);
  for (const run of runs)
    for (let place = 0; place < RUN_CHUNKS; place++) {
      const at = firstChunk(run) + place;
      await writer.put(at, fill(at));
    }
  const published = await writer.publish({ reason, signal });
  const ms = performance.now() - begunMs;
  const { manifest } = await openVersion(store, lease, { name: published.version, records, signal });
  return { ms, published, tables: manifest.tables.size };
}

/** Takes no room, and no two are alike. */
function small(at: number): Buffer {
  const bytes = Buffer.alloc(CHUNK_BYTES);
  bytes.writeUInt32LE(at + 1);
  return bytes;
}

export const manifestSize: Benchmark = async ({ say, note }) => {
  const directory = await mkdtemp("/var/tmp/mags-bench-");
  try {
    await makeFileStore(directory);
    const store = await openFileStore(directory);
    const figures = [];
    for (const sizeGiB of SIZES_GIB)
      for (const layout of ["together", "spread"] as const) {
        const stride = layout === "together" ? RUN_CHUNKS : (sizeGiB * GIB) / CHUNK_BYTES / USED_RUNS;
        const key = { account: randomUUID(), workspace: randomUUID() };
        const create = { name: "w", forked_from: null };
        const lease = await acquireLease(store, key, {
          ...{ holder: "bench", ttlMs: 3_600_000, clock: systemClock, create, signal },
        });
        const disk: Disk = { sizeGiB, lease, firstChunk: (run) => run * stride };
        const all = Array.from({ length: USED_RUNS }, (_, run) => run);
        await sync(store, disk, { runs: all, fill: small, reason: "promotion" });
        const runs = all.filter((run) => run % (USED_RUNS / CHANGED_RUNS) < 1).slice(0, CHANGED_RUNS);
        const content = randomBytes(CHUNK_BYTES * RUN_CHUNKS * CHANGED_RUNS + SYNCS);
        const times: number[] = [];
        let last: Awaited<ReturnType<typeof sync>> | undefined;
        for (let shift = 0; shift < SYNCS; shift++) {
          let end = shift;
          const fill = () => {
            end += CHUNK_BYTES;
            return content.subarray(end - CHUNK_BYTES, end);
          };
          last = await sync(store, disk, { runs, fill, reason: "interval" });
          times.push(last.ms);
        }
        if (!last) throw new Error("nothing was synced");
        const { version, puts, sentBytes } = last.published;
        const name = `${String(version.seq).padStart(10, "0")}-${version.sha256}`;
        const manifest = await store.head(`accounts/${key.account}/workspaces/${key.workspace}/versions/${name}`, {
          signal,
        });
        const figure = {
          ...{ disk_gib: sizeGiB, layout, tables: last.tables, manifest_bytes: manifest?.sizeBytes ?? 0 },
          ...{ puts, sent_bytes: sentBytes, sync_ms: summarize(times) },
        };
        figures.push(figure);
        say(
          `    ${sizeGiB} GiB, 2 GiB in use ${layout}: ${figure.tables} tables, manifest ${round(figure.manifest_bytes / 1024)} KiB, 20 MiB changed: ${puts} PUTs, ${round(sentBytes / 2 ** 20)} MiB sent, ${round(figure.sync_ms.p50, 0)} ms`,
        );
        await rm(join(directory, "tree", "accounts", key.account), { recursive: true });
      }
    note("manifest_size", figures);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};
