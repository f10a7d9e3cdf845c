import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { createMemoryStore } from "@mags/object-store";
import {
  acquireLease,
  CHUNK_BYTES,
  createVersionWriter,
  openVersion,
  readHead,
  recordsOf,
} from "@mags/workspace-store";
import { createWorkspaces } from "./workspaces.ts";

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;
const IMAGE = { name: "standard", digest: `sha256:${"0".repeat(64)}` };
const options = { signal };

/** A workspace of two versions that is not open, a fork of another, whose head is lost or damaged. */
async function beheaded(what: "lost" | "damaged") {
  const store = createMemoryStore();
  const key = { account: randomUUID() as string, workspace: randomUUID() as string };
  const head = `accounts/${key.account}/workspaces/${key.workspace}/head`;
  const records = recordsOf(store, key.account);
  const forked_from = { workspace: randomUUID() as string, name: "base", seq: 4 };
  const times = { ttlMs: HOUR_MS, clock: systemClock, signal };
  const lease = await acquireLease(store, key, { holder: "node-a", ...times, create: { name: "w", forked_from } });
  for (const n of [1, 2]) {
    const [before] = lease.head.versions;
    const parent = before && (await openVersion(store, key, { name: before, records, signal }));
    const version = { parent, image: IMAGE, diskBytes: 512 * CHUNK_BYTES };
    await using writer = createVersionWriter({ store, lease, clock: systemClock }, version);
    await writer.put(n, Buffer.alloc(CHUNK_BYTES, n));
    await writer.publish({ reason: "request", signal });
  }
  await lease.release({ signal });
  const { versions } = lease.head;
  if (what === "lost") await store.delete(head, { signal });
  else await store.put(head, Buffer.from("{"), { signal });
  const uncached = { prefetch: () => {}, keep: async () => {} };
  const workspaces = createWorkspaces({
    ...{ store, records: () => ({ ...records, ...uncached }), fitness: async () => {}, holder: "node-a" },
    ...{ images: { keep: async () => {}, wasKept: () => true }, graceMs: 0, limitMs: HOUR_MS },
    ...{ clock: systemClock, log: silentLogger },
  });
  const named = { ...key, name: "w", forkedFrom: forked_from };
  return { store, key, named, head, versions, workspaces, forked_from };
}

describe("a workspace that is not open", () => {
  it("has versions without its head, and a restore writes that anew", async () => {
    const { store, key, named, versions, workspaces, forked_from } = await beheaded("lost");
    using _ = workspaces;
    assert.deepEqual(await workspaces.versions(key, options), versions);
    assert.equal(await readHead(store, key, options), undefined, "asking writes nothing");
    const [version, newest] = versions;
    assert.ok(version && newest);
    const { seq } = await workspaces.restore({ ...named, version, newest }, options);
    const anew = (await readHead(store, key, options))?.head;
    assert.deepEqual([anew?.name, anew?.forked_from, anew?.lease], ["w", forked_from, null]);
    assert.deepEqual(
      anew?.versions.map((one) => one.seq),
      [1, 2, seq],
    );
  });

  it("is settled without its head, and what the store has nothing of is not made", async () => {
    const { key, named, versions, workspaces } = await beheaded("lost");
    using _ = workspaces;
    assert.deepEqual(await workspaces.settle(named, options), versions);
    assert.deepEqual(await workspaces.versions(key, options), versions);
    const none = { ...named, workspace: randomUUID() };
    await assert.rejects(workspaces.settle(none, options), { code: "workspace_not_found" });
    await assert.rejects(workspaces.versions(none, options), { code: "workspace_not_found" });
  });

  it("is deleted without its head, and nothing of it stays", async () => {
    const { store, key, workspaces } = await beheaded("lost");
    using _ = workspaces;
    const { account } = key;
    await workspaces.remove(key, options);
    await assert.rejects(workspaces.versions(key, options), { code: "workspace_not_found" });
    for (let look = 0; look < 5; look++) await workspaces.collect({ account, pinned: {} }, options);
    const left: string[] = [];
    for await (const object of store.list(`accounts/${account}/`, options)) left.push(object.key);
    assert.deepEqual(left, [`accounts/${account}/condemned`]);
    await workspaces.remove(key, options);
    assert.equal(await readHead(store, key, options), undefined, "it is not made again");
  });

  it("whose head is damaged says what helps, also to who deletes it, and that helps", async () => {
    const { store, key, named, head, versions, workspaces } = await beheaded("damaged");
    using _ = workspaces;
    const [version, newest] = versions;
    assert.ok(version && newest);
    const refused = { code: "store_corrupt", message: /head is not valid: it is no JSON; remove that object/ };
    await assert.rejects(workspaces.versions(key, options), refused);
    await assert.rejects(workspaces.restore({ ...named, version, newest }, options), refused);
    await assert.rejects(workspaces.remove(key, options), refused);
    await store.delete(head, options);
    assert.deepEqual(await workspaces.versions(key, options), versions);
    await workspaces.remove(key, options);
    await assert.rejects(workspaces.versions(key, options), { code: "workspace_not_found" });
  });
});
