import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import {
  acquireLease,
  CHUNK_BYTES,
  createVersionWriter,
  type Lease,
  latestOf,
  openVersion,
  recordsOf,
  type SyncReason,
  type VersionName,
  type VersionReader,
} from "@mags/workspace-store";
import type { SyncCall } from "../calls.ts";
import { compactWorkspace } from "./compact-workspace.ts";
import { findParent } from "./find-parent.ts";
import { createWorkspaces } from "./workspaces.ts";

const { signal } = new AbortController();
const clock = systemClock;
const IMAGE = { name: "standard", digest: `sha256:${"0".repeat(64)}` };
const WRITER = "node-a/disk-1";
const PACK_CHUNKS = 256;
const DAY_MS = 24 * 3_600_000;

async function newWorkspace(store: ObjectStore = createMemoryStore()) {
  const key = { account: randomUUID(), workspace: randomUUID() };
  const records = recordsOf(store, key.account);
  const create = { name: "w", forked_from: null };
  const lease: Lease = await acquireLease(store, key, { holder: "node-a", ttlMs: 3_600_000, clock, create, signal });
  const open = (name: VersionName): Promise<VersionReader> => openVersion(store, key, { name, records, signal });
  const manifestKey = ({ seq, sha256 }: VersionName) =>
    `accounts/${key.account}/workspaces/${key.workspace}/versions/${String(seq).padStart(10, "0")}-${sha256}`;
  const newest = async () => {
    const latest = latestOf(lease.head);
    assert.ok(latest);
    return open(latest);
  };
  return {
    store,
    key,
    lease,
    open,
    newest,
    /** Over the newest version. */
    async publish(
      chunks: ReadonlyMap<number, Buffer>,
      { reason = "request" as SyncReason, writer = WRITER, ageMs = 0 } = {},
    ) {
      const parent = latestOf(lease.head) && (await newest());
      await using version = createVersionWriter(
        { store, lease, clock: { ...clock, now: () => new Date(Date.now() - ageMs) } },
        { parent, image: IMAGE, diskBytes: 4096 * CHUNK_BYTES, writer },
      );
      for (const [index, bytes] of chunks) await version.put(index, bytes);
      return (await version.publish({ reason, signal })).version;
    },
    remove: (version: VersionName) => store.delete(manifestKey(version), { signal }),
    spoil: (version: VersionName) => store.put(manifestKey(version), Buffer.from("{}"), { signal }),
    /** What a disk made from that version is compared with. */
    parentOf: (version: VersionName) =>
      findParent({ ...key, parent: { ...key, version }, diskBytes: 4096 * CHUNK_BYTES } as SyncCall, {
        ...{ head: lease.head, writer: WRITER },
        open: ({ version: name }) => open(name),
      }),
  };
}

/** Versions, two days apart, of which the second needs an eighth of what the first put into so many packs. */
async function publishPoor(publish: Awaited<ReturnType<typeof newWorkspace>>["publish"], packs: number) {
  const all = Array.from({ length: packs * PACK_CHUNKS }, (_, i) => i);
  await publish(new Map(all.map((i) => [i, randomBytes(CHUNK_BYTES)])), { ageMs: 2 * DAY_MS });
  const same = Buffer.alloc(CHUNK_BYTES, 7);
  return await publish(new Map(all.filter((i) => i % 8 > 0).map((i) => [i, same])));
}

describe("compaction", () => {
  it("is given up for who waits for the workspace, and done at the next look", async () => {
    const memory = createMemoryStore();
    const reading = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    let isHeld = true;
    const store: ObjectStore = {
      ...memory,
      async get(objectKey, options) {
        const { start, end } = options?.range ?? { start: 0, end: 0 };
        if (isHeld && end - start >= CHUNK_BYTES) {
          reading.resolve();
          await goOn.promise;
        }
        return await memory.get(objectKey, options);
      },
    };
    const { key, lease, publish } = await newWorkspace(memory);
    await publishPoor(publish, 3);
    await lease.release({ signal });
    const uncached = { prefetch: () => {}, keep: async () => {} };
    const records = (account: string) => ({ ...recordsOf(memory, account), ...uncached });
    const images = { keep: async () => {}, wasKept: () => true };
    const times = { graceMs: 3_600_000, limitMs: 3_600_000 };
    using workspaces = createWorkspaces({
      store,
      records,
      images,
      fitness: async () => {},
      holder: "n",
      ...times,
      clock,
      log: silentLogger,
    });
    const look = () =>
      workspaces
        .collect({ account: key.account, pinned: { [key.workspace]: [] } }, { signal })
        .then(({ compacted }) => Object.values(compacted).map(({ seq }) => seq));
    const first = look();
    await reading.promise;
    const settled = workspaces.settle({ ...key, name: "w", forkedFrom: null }, { signal });
    isHeld = false;
    goOn.resolve();
    assert.deepEqual([await first, (await settled).length], [[], 2]);
    assert.deepEqual(await look(), [3]);
  });
});

describe("compaction of a compaction", () => {
  it("takes its place, and disks made from what both were made from, or from one of them, go on from it", async () => {
    const { store, lease, open, publish, remove, parentOf } = await newWorkspace();
    const original = await publishPoor(publish, 6);
    const poor = [...(await open(original)).manifest.packs.keys()];
    const compact = async (shared: readonly string[]) => {
      const deps = { store, clock, limitMs: 3_600_000, open };
      const compacted = await compactWorkspace(deps, lease, { shared: new Set(shared), mayGoOn: () => true, signal });
      assert.ok(compacted);
      return compacted.version;
    };
    const first = await compact(poor.slice(0, 3));
    assert.equal((await parentOf(original)).reader?.name.seq, first.seq);
    const second = await compact([]);
    assert.deepEqual(
      lease.head.versions.map(({ seq, reason }) => [seq, reason]),
      [
        [1, "request"],
        [2, "request"],
        [4, "compaction"],
      ],
    );
    await remove(first);
    for (const version of [original, first]) {
      const { reader, isNamed, missing } = await parentOf(version);
      assert.deepEqual([reader?.name.seq, isNamed, missing], [second.seq, true, null], `from ${version.seq}`);
    }
  });
});

describe("findParent", () => {
  it("has all compared with the newest version of a disk when one before that is lost", async () => {
    const { lease, publish, remove, parentOf } = await newWorkspace();
    const made = await publish(new Map([[0, randomBytes(CHUNK_BYTES)]]));
    const lost = await publish(new Map([[1, randomBytes(CHUNK_BYTES)]]));
    const newest = await publish(new Map([[2, randomBytes(CHUNK_BYTES)]]));
    await remove(lost);
    const { reader, isNamed, missing } = await parentOf(made);
    assert.deepEqual([reader?.name.seq, isNamed], [newest.seq, false]);
    assert.match(missing ?? "", /version 2, on which later ones build, is not in the object store any more/);
    assert.equal(latestOf(lease.head)?.seq, newest.seq);
  });

  it("goes on after a newest version that is lost or damaged, from the newest that is there", async () => {
    const { publish, remove, spoil, parentOf } = await newWorkspace();
    const made = await publish(new Map([[0, randomBytes(CHUNK_BYTES)]]));
    const there = await publish(new Map([[1, randomBytes(CHUNK_BYTES)]]));
    const damaged = await publish(new Map([[2, randomBytes(CHUNK_BYTES)]]));
    const lost = await publish(new Map([[3, randomBytes(CHUNK_BYTES)]]));
    await spoil(damaged);
    await remove(lost);
    for (const version of [made, there, damaged, lost]) {
      const { reader, isNamed, follows, missing } = await parentOf(version);
      assert.deepEqual([reader?.name.seq, isNamed, follows?.seq], [there.seq, false, lost.seq], `from ${version.seq}`);
      assert.match(missing ?? "", /^version 4, .* is not in the object store any more: all of the disk was compared$/);
    }
    for (const version of [made, there]) await remove(version);
    const { reader, follows } = await parentOf(damaged);
    assert.deepEqual([reader, follows?.seq], [undefined, lost.seq], "of none everything is new");
  });

  it("leaves what another disk published alone, also before a version that is lost", async () => {
    const { publish, remove, parentOf } = await newWorkspace();
    const made = await publish(new Map([[0, randomBytes(CHUNK_BYTES)]]));
    await publish(new Map([[1, randomBytes(CHUNK_BYTES)]]), { writer: "node-a/disk-2" });
    await remove(await publish(new Map([[2, randomBytes(CHUNK_BYTES)]]), { writer: "node-a/disk-2" }));
    const { reader, isNamed, follows } = await parentOf(made);
    assert.deepEqual([reader?.name.seq, isNamed, follows], [made.seq, true, undefined]);
  });

  it("leaves what another disk published alone", async () => {
    const { publish, parentOf } = await newWorkspace();
    const made = await publish(new Map([[0, randomBytes(CHUNK_BYTES)]]));
    await publish(new Map([[1, randomBytes(CHUNK_BYTES)]]), { writer: "node-a/disk-2" });
    await publish(new Map(), { reason: "compaction" });
    const { reader, isNamed } = await parentOf(made);
    assert.deepEqual([reader?.name.seq, isNamed], [made.seq, true], "which is not published over the newest");
  });
});
