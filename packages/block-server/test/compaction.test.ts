import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { type Clock, systemClock } from "@mags/core";
import { createMemoryStore } from "@mags/object-store";
import {
  contentsOf,
  DISK_BYTES,
  exported,
  MIB,
  openTestBench,
  startTestServer,
  type TestBench,
  type TestServer,
  tool,
  write,
} from "./harness.ts";

let bench: TestBench;
let server: TestServer;
const store = createMemoryStore();
let aheadMs = 0;
const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + aheadMs) };

before(async () => {
  bench = await openTestBench(store, { clock });
  server = bench.server;
  await writeFile(at("random"), randomBytes(48 * MIB));
});
after(() => bench[Symbol.asyncDispose]());

const at = (name: string) => bench.at(name);

/** A disk that was published twice: of what the first version put into three packs the second needs an eighth. */
async function wasteful(name: string) {
  const disk = at(name);
  const workspace = randomUUID();
  const key = { account: server.account, workspace };
  await tool("qemu-img", "create", "-q", "-f", "qcow2", disk, String(DISK_BYTES));
  await write(disk, `write -s ${at("random")} 0 48M`);
  const first = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
  await write(disk, "write -P 5 0 14M", "write -P 6 16M 14M", "write -P 7 32M 14M");
  const parent = { ...key, version: { seq: first.version.seq, sha256: first.version.sha256 } };
  const { version } = await exported(disk, {}, (source) => server.sync({ workspace, parent, source }));
  const collect = () => server.ask("collect", { account: server.account, pinned: { [workspace]: [] } });
  return { disk, workspace, key, collect, second: { ...key, version: { seq: version.seq, sha256: version.sha256 } } };
}

describe("compaction", () => {
  it("comes after a look of the collector, once; the next sync goes on from it with what has changed since its parent", async () => {
    const { disk, workspace, key, collect, second } = await wasteful("open");
    const before = await contentsOf(disk);
    const looks = [await collect(), await collect()];
    const versions = await server.ask("versions", key);
    assert.deepEqual(
      versions.map(({ reason }) => reason),
      ["request", "request", "compaction"],
    );
    const compacted = versions.at(-1);
    assert.ok(compacted);
    for (const look of looks)
      assert.deepEqual(look.compacted, { [workspace]: compacted }, "also who missed it is told");
    assert.ok((await server.contents(workspace, compacted)).equals(before));

    await write(disk, "write -P 1 100M 64k"); // the bitmap does not know: what only a comparison would find
    await tool("qemu-img", "bitmap", "--add", "-g", "65536", "-f", "qcow2", disk, "b1");
    await write(disk, "write -P 9 1M 64k");
    const next = await exported(disk, { bitmap: "b1" }, (source) => server.sync({ workspace, parent: second, source }));
    assert.deepEqual([next.version.seq, next.changedBytes], [4, 65536]);
    const contents = await server.contents(workspace, next.version);
    const expected = await contentsOf(disk);
    expected.fill(0, 100 * MIB, 100 * MIB + 65536);
    assert.ok(contents.equals(expected));
  });

  it("leaves a workspace alone that another node holds, or that is closed; one that was used again it gives back", async () => {
    const { workspace, key, collect, second, disk } = await wasteful("closed");
    await server.ask("release", key);
    const options = { holder: "node-b", account: server.account, clock };
    await using other = await startTestServer(store, at("other"), options);
    const sync = () => exported(disk, {}, (source) => other.sync({ workspace, parent: second, source }));
    await sync();
    await collect();
    assert.equal((await server.ask("versions", key)).length, 2);
    await other.ask("release", key);
    await collect();
    assert.equal((await server.ask("versions", key)).length, 2);
    aheadMs = 2 * 24 * 3_600_000;
    await write(disk, "write -P 8 100M 64k");
    await sync();
    await other.ask("release", key);
    await collect();
    const compacted = (await server.ask("versions", key)).at(-1);
    assert.equal(compacted?.reason, "compaction");
    assert.deepEqual((await sync()).version, compacted, "the other takes it at once, and nothing has changed");
  });

  it("is in nobody's way who restores an older version, also not where that is asked for twice", async () => {
    const { collect, key, second } = await wasteful("restored");
    const [first] = await server.ask("versions", key);
    assert.ok(first);
    await collect();
    const restore = () =>
      server.ask("restore", { ...key, name: "w", forkedFrom: null, version: first, newest: second.version });
    const restored = await restore();
    assert.deepEqual([restored.seq, await restore()], [4, restored]);
    const versions = await server.ask("versions", key);
    assert.deepEqual(
      versions.map(({ seq }) => seq),
      [1, 2, 4],
    );
  });

  it("does not take out of packs what a fork needs as well", async () => {
    const { disk, collect, key, second } = await wasteful("base");
    const fork = randomUUID();
    await exported(disk, {}, (source) => server.sync({ workspace: fork, parent: second, source, reason: "fork" }));
    await collect();
    assert.equal((await server.ask("versions", key)).length, 2);
  });
});
