import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { createMemoryStore } from "@mags/object-store";
import {
  acquireLease,
  CHUNK_BYTES,
  collect,
  createVersionWriter,
  latestOf,
  openVersion,
  recordsOf,
} from "@mags/workspace-store";
import { restoreVersion } from "./restore-version.ts";

const { signal } = new AbortController();
const DAY_MS = 24 * 3_600_000;
const IMAGE = { name: "standard", digest: `sha256:${"0".repeat(64)}` };

/** A workspace of so many versions. */
async function newWorkspace(count: number) {
  const store = createMemoryStore();
  const key = { account: randomUUID() as string, workspace: randomUUID() as string };
  const options = { holder: "node-a", ttlMs: DAY_MS, clock: systemClock, signal };
  const lease = await acquireLease(store, key, { ...options, create: { name: "w", forked_from: null } });
  const records = recordsOf(store, key.account);
  for (let n = 1; n <= count; n++) {
    const latest = latestOf(lease.head);
    const parent = latest && (await openVersion(store, key, { name: latest, records, signal }));
    const version = { parent, image: IMAGE, diskBytes: 512 * CHUNK_BYTES };
    await using writer = createVersionWriter({ store, lease, clock: systemClock }, version);
    await writer.put(n, Buffer.alloc(CHUNK_BYTES, n));
    await writer.publish({ reason: "request", signal });
  }
  return { store, key, lease, records };
}

describe("restoreVersion", () => {
  it("lists no lost version any more, so that the account's packs can be collected again", async () => {
    const { store, key, lease, records } = await newWorkspace(3);
    const [first, second, newest] = lease.head.versions;
    assert.ok(first && second && newest);
    await store.delete(`accounts/${key.account}/workspaces/${key.workspace}/versions/0000000002-${second.sha256}`, {
      signal,
    });
    const unreadable = async () => {
      const pinned = async () => [];
      const look = { account: key.account, graceMs: DAY_MS, clock: systemClock, pinned, signal };
      return (await collect(store, look)).unreadable.map(({ what }) => what);
    };
    assert.match((await unreadable()).join(), /has no version 2 .*; until .* its workspace is restored to a version/);
    const uncached = { prefetch: () => {}, keep: async () => {} };
    const deps = {
      ...{ store, records: () => ({ ...records, ...uncached }), holder: "node-a", limitMs: DAY_MS },
      ...{ images: { keep: async () => {}, wasKept: () => true }, clock: systemClock, log: silentLogger },
    };
    const restored = await restoreVersion(
      deps,
      { ...key, name: "w", forkedFrom: null, version: first, newest },
      { lease, signal },
    );
    assert.deepEqual(
      lease.head.versions.map(({ seq }) => seq),
      [1, 3, restored.seq],
    );
    assert.deepEqual(await unreadable(), []);
  });
});
