/** Disks that are whole, and versions of them in the store that are not. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { openVersion, recordsOf, type VersionName, type WorkspaceKey } from "@mags/workspace-store";
import { newDisk, problemsOf } from "./disks.ts";
import { startTestServer, write } from "./harness.ts";

let temp: TempDir;
before(async () => {
  temp = await makeTempDir();
});
after(() => temp[Symbol.asyncDispose]());

const signal = AbortSignal.timeout(300_000);

async function flip(store: ObjectStore, key: string, at: number): Promise<void> {
  const { bytes } = await store.get(key);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await store.put(key, bytes);
}

const manifestOf = ({ account, workspace }: WorkspaceKey, { seq, sha256 }: VersionName) =>
  `accounts/${account}/workspaces/${workspace}/versions/${String(seq).padStart(10, "0")}-${sha256}`;

describe("a sync", () => {
  it("compares all of the disk when the manifest of its parent is damaged, and says so", async () => {
    const store = createMemoryStore();
    await using server = await startTestServer(store, join(temp.path, "manifest"));
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 1 0 1M", "write -P 1 100M 1M");
    const first = await disk.sync();
    await write(disk.path, "write -P 2 0 64k");
    const second = await disk.sync();
    await flip(store, manifestOf(disk.key, second), 50);
    await write(disk.path, "write -P 3 64k 64k");
    const result = await disk.syncWhole();
    assert.match(result.missing ?? "", /^version 2, which the disk was made from, is damaged/);
    assert.deepEqual([result.version.seq, result.changedBytes], [3, 2 * 65536], "over the version before");
    assert.ok(await disk.isPublished(result.version));
    await flip(store, manifestOf(disk.key, first), 50);
    await flip(store, manifestOf(disk.key, result.version), 50);
    await write(disk.path, "write -P 4 0 64k");
    const anew = await disk.syncWhole();
    assert.deepEqual([anew.version.seq, anew.changedBytes], [4, 32 * 65536], "all of it, when there is none");
    assert.ok(await disk.isPublished(anew.version));
  });

  it("sends a segment anew whose table is damaged or lost, and no other", async () => {
    const store = createMemoryStore();
    await using server = await startTestServer(store, join(temp.path, "here"));
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 1 0 1M");
    await disk.sync();
    await write(disk.path, "write -P 2 40M 1M");
    const second = await disk.sync();
    const { manifest } = await openVersion(store, disk.key, {
      ...{ name: second, records: recordsOf(store, server.account), signal },
    });
    const table = manifest.tables.get(1);
    assert.ok(table);
    await flip(store, `accounts/${server.account}/packs/${table.pack}`, table.offset + 5);
    await server[Symbol.asyncDispose](); // its cache has the table
    const options = { holder: "node-a", account: server.account };
    await using elsewhere = await startTestServer(store, join(temp.path, "there"), options);
    await write(disk.path, "write -P 3 0 64k", "write -P 3 41M 64k");
    const result = await disk.syncWhole(elsewhere);
    assert.match(
      result.missing ?? "",
      /^version 2 has lists of chunks that are damaged .*, 1 of them: all of the disk/,
    );
    assert.deepEqual([result.version.seq, result.changedBytes], [3, 18 * 65536]);
    assert.ok(await disk.isPublished(result.version));
    assert.equal(result.version.data_bytes, 33 * 65536);
    for (const problem of await problemsOf(store, server))
      assert.match(problem, /versions\/0000000002|packs\//, "nothing of the new one");
  });
});
