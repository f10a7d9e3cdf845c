import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  CHUNK_BYTES,
  collect,
  createVersionWriter,
  deleteWorkspace,
  type HeadVersion,
  moveOutOf,
  planCompaction,
  recordsOf,
  type WorkspaceKey,
} from "../src/index.ts";
import { chunkOf, createTestStore, HOUR_MS, IMAGE, signal, type TestStore } from "./harness.ts";

/** What a disk holds: seeds of chunks, by index. */
type Disk = ReadonlyMap<number, number>;

interface KnownVersion {
  readonly name: HeadVersion;
  readonly disk: Disk;
  readonly chunks: number;
}

interface KnownWorkspace {
  readonly key: WorkspaceKey;
  /** Those that the head lists. */
  versions: KnownVersion[];
}

/** A store and what must be in it. */
interface World {
  readonly test: TestStore;
  readonly workspaces: KnownWorkspace[];
  /** Versions that something stands on. */
  readonly pinned: { readonly workspace: KnownWorkspace; readonly version: KnownVersion }[];
}

const DISK_CHUNKS = 1200;
const place = fc.oneof(
  fc.nat({ max: 20 }),
  fc.integer({ min: 500, max: 530 }),
  fc.integer({ min: 1020, max: DISK_CHUNKS - 1 }),
);
const change = fc.tuple(place, fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })));
const changes = fc.array(change, { maxLength: 30 });

const pick = <T>(all: readonly T[], number: number): T | undefined => all[number % Math.max(all.length, 1)];

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("publish" as const),
      at: fc.nat(),
      changes,
      keep: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("fork" as const), at: fc.nat(), version: fc.nat(), changes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restore" as const), at: fc.nat(), version: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("compact" as const), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("give up" as const), at: fc.nat(), changes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("delete" as const), at: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pin" as const), at: fc.nat(), version: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unpin" as const), at: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("collect" as const), hours: fc.integer({ min: 1, max: 60 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function changed(disk: Disk, by: readonly (readonly [number, number])[]): Disk {
  const after = new Map([...disk, ...by]);
  return new Map([...after].filter(([, seed]) => seed !== 0));
}

const bytesOf = (by: readonly (readonly [number, number])[]) =>
  new Map(by.map(([index, seed]): [number, Buffer] => [index, chunkOf(seed)]));

async function apply(world: World, taken: Step): Promise<void> {
  const { test, workspaces, pinned } = world;
  if (taken.do === "collect") {
    for (let hour = 0; hour < taken.hours; hour++) {
      const pins = (workspace: string) =>
        pinned.filter((one) => one.workspace.key.workspace === workspace).map(({ version }) => version.name);
      await collect(test.store, {
        account: test.account,
        graceMs: 12 * HOUR_MS,
        clock: test.clock,
        pinned: async (workspace) => pins(workspace),
        signal,
      });
      test.clock.pass(HOUR_MS);
    }
    return;
  }
  if (taken.do === "unpin") {
    pinned.splice(taken.at % Math.max(pinned.length, 1), 1);
    return;
  }
  const workspace = pick(workspaces, taken.at);
  if (taken.do === "fork") {
    const base = workspace && pick(workspace.versions, taken.version);
    if (workspaces.length >= 6) return;
    const key = test.newKey();
    const lease = await test.lease(key);
    const parent = workspace && base && (await test.open(workspace.key, base.name));
    const { version } = await test.publish(lease, bytesOf(taken.changes), {
      parent,
      reason: "fork",
      diskChunks: DISK_CHUNKS,
    });
    const disk = changed(base?.disk ?? new Map(), taken.changes);
    workspaces.push({ key, versions: [{ name: version, disk, chunks: DISK_CHUNKS }] });
    return;
  }
  if (!workspace) return;
  const newest = workspace.versions.at(-1);
  if (taken.do === "pin") {
    const version = pick(workspace.versions, taken.version);
    if (version) pinned.push({ workspace, version });
    return;
  }
  if (taken.do === "delete") {
    await deleteWorkspace(test.store, workspace.key, { clock: test.clock, signal });
    workspaces.splice(workspaces.indexOf(workspace), 1);
    return;
  }
  const lease = await test.lease(workspace.key);
  const note = ({ version }: { version: HeadVersion }, { disk, keep = 1000 }: { disk: Disk; keep?: number }) => {
    workspace.versions = [...workspace.versions, { name: version, disk, chunks: DISK_CHUNKS }].slice(-keep);
  };
  switch (taken.do) {
    case "publish": {
      const options = { keep: taken.keep, diskChunks: DISK_CHUNKS };
      const published = await test.publish(lease, bytesOf(taken.changes), options);
      note(published, { disk: changed(newest?.disk ?? new Map(), taken.changes), keep: taken.keep });
      break;
    }
    case "restore": {
      const old = pick(workspace.versions, taken.version);
      if (!old) break;
      const parent = await test.open(workspace.key, old.name);
      note(await test.publish(lease, new Map(), { parent, reason: "restore", diskChunks: DISK_CHUNKS }), old);
      break;
    }
    case "compact": {
      const version = await test.latest(workspace.key);
      if (!version || !newest) break;
      await using writer = createVersionWriter(
        { store: test.store, lease, clock: test.clock },
        { parent: version, image: IMAGE, diskBytes: version.manifest.diskBytes },
      );
      const records = recordsOf(test.store, test.account);
      const packs = planCompaction(version.manifest, { usedPart: 0.7, maxBytes: 1 << 30 });
      await moveOutOf(packs, { version, writer, records, mayGoOn: () => true, signal });
      note(await writer.publish({ reason: "compaction", signal }), newest);
      break;
    }
    case "give up": {
      await using writer = createVersionWriter(
        { store: test.store, lease, clock: test.clock },
        { parent: await test.latest(workspace.key), image: IMAGE, diskBytes: DISK_CHUNKS * CHUNK_BYTES },
      );
      for (const [index, bytes] of [...bytesOf(taken.changes)].toSorted(([a], [b]) => a - b))
        await writer.put(index, bytes);
      break;
    }
    default:
      taken satisfies never;
  }
}

async function verify({ test, workspaces, pinned }: World): Promise<void> {
  const listed = workspaces.flatMap((workspace) => workspace.versions.map((version) => ({ workspace, version })));
  const tried = new Set<string>();
  for (const { workspace, version } of [...listed, ...pinned]) {
    if (tried.has(version.name.sha256)) continue;
    tried.add(version.name.sha256);
    const reader = await test.open(workspace.key, version.name);
    let dataChunks = 0;
    let storedBytes = 0;
    const uses = new Map<string, number>();
    for (const [segment, ref] of reader.manifest.tables) {
      for (const one of [ref, ...(await reader.table(segment, { signal })).values()]) {
        uses.set(one.pack, (uses.get(one.pack) ?? 0) + 1);
        storedBytes += one.storedBytes;
        dataChunks += one === ref ? 0 : 1;
      }
    }
    for (const index of new Set([...version.disk.keys(), 0, 511, 512, DISK_CHUNKS - 1])) {
      const bytes = await reader.read(index * CHUNK_BYTES, CHUNK_BYTES, { signal });
      assert.ok(bytes.equals(chunkOf(version.disk.get(index) ?? 0)), `chunk ${index} of version ${version.name.seq}`);
    }
    assert.equal(dataChunks, version.disk.size);
    assert.equal(reader.manifest.dataBytes, version.disk.size * CHUNK_BYTES);
    assert.equal(reader.manifest.storedBytes, storedBytes);
    assert.deepEqual(new Map([...reader.manifest.packs].map(([id, { records }]) => [id, records])), uses);
  }
}

describe("a store of workspaces", () => {
  it("has every listed and every pinned version, bit for bit, whatever was written, forked, deleted and collected", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const world: World = { test: createTestStore(), workspaces: [], pinned: [] };
        for (const one of steps) {
          await apply(world, one);
          if (one.do === "collect" || one.do === "compact") await verify(world);
        }
        await verify(world);
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });
});
