import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { createMemoryStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom, debugfs, makeExt4Image, waitFor } from "@mags/test-kit";
import { CHUNK_BYTES, type VersionName } from "@mags/workspace-store";
import {
  contentsOf,
  DISK_BYTES,
  exported,
  IMAGE,
  IMAGE_FILES,
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

before(async () => {
  bench = await openTestBench(store);
  server = bench.server;
});
after(() => bench[Symbol.asyncDispose]());

const at = (name: string) => bench.at(name);

async function newDisk(name: string, ...writes: string[]): Promise<string> {
  await tool("qemu-img", "create", "-q", "-f", "qcow2", at(name), String(DISK_BYTES));
  if (writes.length > 0) await write(at(name), ...writes);
  return at(name);
}

const keyOf = (workspace: string, version: VersionName) => ({
  ...{ account: server.account, workspace },
  version: { seq: version.seq, sha256: version.sha256 },
});

describe("diff", () => {
  it("names the files that changed between two versions", async () => {
    const workspace = randomUUID();
    const image = at("files.raw");
    await makeExt4Image(image, { sizeMiB: DISK_BYTES / MIB });
    await debugfs(image, "mkdir up", "cd up", "mknod kept p", "mknod gone p");
    const publish = async (name: string, parent: VersionName | null) => {
      await tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, at(name));
      return exported(at(name), {}, (source) =>
        server.sync({ workspace, parent: parent && keyOf(workspace, parent), source }),
      );
    };
    const { version: before } = await publish("files-1", null);
    await debugfs(image, "cd up", "rm gone", "symlink new kept");
    const { version: after } = await publish("files-2", before);
    const call = { account: server.account, workspace, before, after, limit: 10, from: null };
    const { changes, more } = await server.ask("diff", call);
    assert.deepEqual(
      [changes.map(({ path, change, type }) => [path, change, type]), more],
      [
        [
          ["gone", "removed", "fifo"],
          ["new", "added", "symlink"],
        ],
        false,
      ],
    );
    const rest = await server.ask("diff", { ...call, from: "gone" });
    assert.deepEqual(
      rest.changes.map(({ path }) => path),
      ["new"],
    );
    await assert.rejects(server.ask("diff", { ...call, after: { seq: 9, sha256: "0".repeat(64) } }), {
      code: "version_not_found",
    });
  });
});

describe("sync", () => {
  it("publishes a whole disk, then what a bitmap says has changed", async () => {
    const workspace = randomUUID();
    const disk = await newDisk("whole", "write -P 1 0 3M", "write -P 2 40M 100k", "write -P 3 127M 1M");
    const first = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    assert.ok((await server.contents(workspace, first.version)).equals(await contentsOf(disk)));
    assert.equal(first.version.data_bytes, 4 * MIB + 2 * CHUNK_BYTES);

    await tool("qemu-img", "bitmap", "--add", "-g", "65536", "-f", "qcow2", disk, "b1");
    await write(disk, "write -P 4 1M 64k", "write -z 40M 100k", "write -P 5 90M 10k", "discard 2M 512k");
    const second = await exported(disk, { bitmap: "b1" }, (source) =>
      server.sync({ workspace, parent: keyOf(workspace, first.version), source }),
    );
    assert.ok((await server.contents(workspace, second.version)).equals(await contentsOf(disk)));
    assert.ok(second.changedBytes <= 12 * CHUNK_BYTES, String(second.changedBytes));
    assert.equal(second.version.seq, 2);
    const listed = await server.ask("versions", { account: server.account, workspace });
    assert.deepEqual(listed, [first.version, second.version]);
  });

  it("sends nothing when nothing differs, also of a disk whose bitmap is lost", async () => {
    const workspace = randomUUID();
    const disk = await newDisk("same", "write -P 1 0 3M", "write -P 2 40M 100k");
    const first = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    const parent = keyOf(workspace, first.version);
    const again = await exported(disk, {}, (source) => server.sync({ workspace, parent, source }));
    const nothing = { version: first.version, isDisk: true, changedBytes: 0, sentBytes: 0, puts: 0, missing: null };
    assert.deepEqual(again, nothing);
    await write(disk, "write -P 7 2M 64k", "discard 40M 128k");
    const third = await exported(disk, {}, (source) => server.sync({ workspace, parent, source }));
    assert.equal(third.changedBytes, 3 * CHUNK_BYTES);
    assert.ok((await server.contents(workspace, third.version)).equals(await contentsOf(disk)));
  });

  it("publishes what a file system notes of itself only with other changes, or when no bitmap has it", async () => {
    const workspace = randomUUID();
    const image = at("noted.raw");
    await makeExt4Image(image, { sizeMiB: DISK_BYTES / MIB });
    await tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, at("noted"));
    const disk = at("noted");
    const first = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    await tool("qemu-img", "bitmap", "--add", "-g", "65536", "-f", "qcow2", disk, "b1");
    const sync = (parent: VersionName, options: { readonly bitmap?: string }) =>
      exported(disk, options, (source) => server.sync({ workspace, parent: keyOf(workspace, parent), source }));
    const superblock = 1024;
    const [time, state] = [superblock + 0x30, superblock + 0x3a];
    await write(disk, `write -P 7 ${time} 4`);
    const same = await sync(first.version, { bitmap: "b1" });
    assert.deepEqual(
      [same.version, same.isDisk, same.changedBytes, same.puts],
      [first.version, false, 0, 0],
      "nobody needs that",
    );
    await write(disk, "write -P 5 90M 64k");
    const second = await sync(first.version, { bitmap: "b1" });
    assert.deepEqual([second.version.seq, second.isDisk, second.changedBytes], [2, true, 2 * CHUNK_BYTES]);
    assert.ok((await server.contents(workspace, second.version)).equals(await contentsOf(disk)));
    await write(disk, `write -P 8 ${time} 4`);
    const third = await sync(second.version, {});
    assert.deepEqual([third.version.seq, third.isDisk, third.changedBytes], [3, true, CHUNK_BYTES]);
    await write(disk, `write -P 9 ${time} 4`, `write -P 2 ${state} 1`);
    const fourth = await sync(third.version, { bitmap: "b1" });
    assert.deepEqual([fourth.version.seq, fourth.isDisk, fourth.changedBytes], [4, true, CHUNK_BYTES]);
    assert.ok((await server.contents(workspace, fourth.version)).equals(await contentsOf(disk)));
  });

  it("goes on from a version that it published and that nobody was told of", async () => {
    const workspace = randomUUID();
    const disk = await newDisk("untold", "write -P 1 0 1M");
    await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    await write(disk, "write -P 2 1M 1M");
    const second = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    assert.equal(second.version.seq, 2);
    assert.ok((await server.contents(workspace, second.version)).equals(await contentsOf(disk)));
  });

  it("compares everything when the store has lost what the disk was made from, and says so", async () => {
    const workspace = randomUUID();
    const disk = await newDisk("lost", "write -P 1 0 3M");
    const first = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    const parent = keyOf(workspace, first.version);
    const versions = `accounts/${server.account}/workspaces/${workspace}/versions/`;
    for await (const { key } of store.list(versions)) await store.delete(key);
    await write(disk, "write -P 2 2M 64k");
    const sync = () => exported(disk, {}, (source) => server.sync({ workspace, parent, source }));
    const second = await sync();
    assert.match(second.missing ?? "", /version 1, .* is not in the object store any more/);
    assert.equal(second.version.seq, 2);
    assert.ok((await server.contents(workspace, second.version)).equals(await contentsOf(disk)));
    assert.deepEqual((await sync()).version, second.version, "a reply that was lost is no reason to publish it again");
  });

  it("is refused while another node has the workspace, and when it has versions that are not of this disk", async () => {
    const workspace = randomUUID();
    const key = { account: server.account, workspace };
    const disk = await newDisk("taken", "write -P 1 0 1M");
    await using other = await startTestServer(store, at("other"), { holder: "node-b", account: server.account });
    await exported(disk, {}, async (source) => {
      const { version } = await server.sync({ workspace, parent: null, source });
      const parent = keyOf(workspace, version);
      await assert.rejects(other.sync({ workspace, parent, source }), { code: "lease_held" });
      await server.ask("release", key);
      await assert.rejects(other.sync({ workspace, parent: null, source }), { code: "lease_lost" });
      await other.ask("release", key);
      assert.deepEqual((await other.sync({ workspace, parent, source })).version, version, "nothing has changed");
      assert.deepEqual(await server.ask("versions", key), [version]);
    });
  });
});

describe("serve", () => {
  it("gives a disk its contents, on which another disk stands; a fork of it is synced alone", async () => {
    const workspace = randomUUID();
    const disk = await newDisk("base", "write -P 1 0 3M", "write -P 2 40M 100k", "write -P 3 127M 1M");
    const { version } = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    const before = await contentsOf(disk);
    const socket = at("served.sock");
    const served = { id: "fork-1", version: keyOf(workspace, version), socket, uid: 0 };
    assert.deepEqual(await server.ask("serve", served), { diskBytes: DISK_BYTES, image: IMAGE });
    const uri = `nbd+unix:///disk?socket=${socket}`;
    await tool("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, `${disk}.raw`);

    await tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", uri, "-F", "raw", at("fork"));
    await write(at("fork"), "write -P 9 1M 64k", "write -P 9 100M 10k", "write -z 127M 64k");
    const fork = randomUUID();
    const forked = await exported(at("fork"), {}, (source) =>
      server.sync({ workspace: fork, parent: keyOf(workspace, version), source, reason: "fork" }),
    );
    assert.equal(forked.changedBytes, 3 * CHUNK_BYTES);
    assert.ok((await server.contents(fork, forked.version)).equals(await contentsOf(at("fork"))));
    assert.ok((await server.contents(workspace, version)).equals(before), "the base stays as it was");

    await server.restart();
    assert.deepEqual(await server.ask("served", {}), ["fork-1"]);
    await tool("qemu-img", "compare", "-f", "raw", "-F", "raw", uri, `${disk}.raw`);
    await server.ask("unserve", { id: "fork-1" });
    await server.restart();
    assert.deepEqual(await server.ask("served", {}), []);
  });
});

describe("what could not be served again", () => {
  it("is listed until it is taken back, and is served when it is asked for", async () => {
    const workspace = randomUUID();
    const disk = await newDisk("again", "write -P 1 0 1M");
    const { version } = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    await mkdir(at("jail"));
    const served = { id: "jailed", version: keyOf(workspace, version), socket: at("jail/served.sock"), uid: 0 };
    await server.ask("serve", served);
    await rm(at("jail"), { recursive: true });
    await server.restart();
    assert.ok((await server.ask("served", {})).includes("jailed"));
    await mkdir(at("jail"));
    await server.ask("serve", served);
    assert.ok(existsSync(served.socket));
    await server.ask("unserve", { id: "jailed" });
    assert.ok(!(await server.ask("served", {})).includes("jailed"));
  });
});

describe("what the last start of a workspace read", () => {
  it("is fetched when a disk stands on it again, before it is asked for", async () => {
    const faulty = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    await using own = await startTestServer(faulty, at("starts"));
    const workspace = randomUUID();
    const disk = await newDisk("started", "write -P 1 0 1M", "write -P 2 50M 1M", "write -P 3 100M 1M");
    const { version } = await exported(disk, {}, (source) => own.sync({ workspace, parent: null, source }));
    const key = { account: own.account, workspace, version: { seq: version.seq, sha256: version.sha256 } };
    const serve = async (id: string) => {
      await own.ask("serve", { id, version: key, socket: at(`${id}.sock`), uid: 0 });
      const uri = `nbd+unix:///disk?socket=${at(`${id}.sock`)}`;
      return () => tool("qemu-io", "-r", "-f", "raw", "-c", "read -P 3 100M 64k", "-c", "read -P 1 128k 64k", uri);
    };
    const forget = async () => {
      await own.restart();
      await rm(at("starts/cache"), { recursive: true, force: true });
    };
    await forget();
    const first = await serve("start-1");
    assert.match(await first(), /read 65536/);
    await own.ask("unserve", { id: "start-1" });
    await forget();
    const from = faulty.calls.length;
    const packs = () => faulty.calls.slice(from).filter((call) => /^get .*packs/.test(call)).length;
    const second = await serve("start-2");
    await waitFor(() => packs() >= 3, { what: "two tables and what was read" });
    assert.match(await second(), /read 65536/);
    assert.equal(packs(), 3);
  });
});

describe("a store that is away", () => {
  it("does not keep what was read before from being read, also by the next process; reads of the rest wait", async () => {
    const faulty = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    await using patient = await startTestServer(faulty, at("patient"));
    const workspace = randomUUID();
    const disk = await newDisk("away", "write -P 1 0 1M", "write -P 2 100M 1M");
    const { version } = await exported(disk, {}, (source) => patient.sync({ workspace, parent: null, source }));
    const socket = at("away.sock");
    const key = { account: patient.account, workspace, version: { seq: version.seq, sha256: version.sha256 } };
    await patient.ask("serve", { id: "x", version: key, socket, uid: 0 });
    const uri = `nbd+unix:///disk?socket=${socket}`;
    const read = (offset: string) =>
      tool("qemu-io", "-r", "-f", "raw", "-c", `read -P ${offset === "0" ? 1 : 2} ${offset} 64k`, uri);
    assert.match(await read("0"), /read 65536/);
    faulty.inject({ kind: "busy", on: /^get /, times: 1000 });
    await patient.restart();
    assert.match(await read("0"), /read 65536/);
    await assert.rejects(read("100M"), { stdout: /No space left/ });
    await assert.rejects(patient.ask("versions", key), { code: "unavailable" });
  });
});

describe("the image of a version", () => {
  it("is whole in the store before the first version that names it, and comes back out of it", async () => {
    const faulty = createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });
    await using own = await startTestServer(faulty, at("with-image"));
    const workspace = randomUUID();
    const disk = await newDisk("imaged", "write -P 1 0 1M");
    faulty.inject({ kind: "busy", on: /^put images/ });
    await exported(disk, {}, async (source) => {
      await assert.rejects(own.sync({ workspace, parent: null, source }), { code: "unavailable" });
      const heads = faulty.calls.filter((call) => call.startsWith("put accounts") && call.includes("/versions/"));
      assert.deepEqual(heads, []);
      await own.ask("keepImage", { image: IMAGE_FILES });
      const before = faulty.calls.length;
      const { version } = await own.sync({ workspace, parent: null, source });
      const puts = faulty.calls.slice(before).filter((call) => call.startsWith("put "));
      const descriptor = puts.findIndex((call) => /^put images\S+image$/.test(call));
      assert.ok(descriptor >= 0 && descriptor < puts.findIndex((call) => call.includes("/versions/")));
      assert.deepEqual(await own.ask("imageOf", { ...keyOf(workspace, version), account: own.account }), IMAGE);
    });
    const [path, caBundle] = [at("fetched.erofs"), at("fetched.crt")];
    const fetched = await own.ask("fetchImage", { digest: IMAGE.digest, disk: path, caBundle });
    assert.deepEqual(fetched, { diskBytes: (await stat(path)).size, caBundlePath: null });
    assert.deepEqual(await readFile(path), await readFile(IMAGE_FILES.disk));
    for (let look = 0; look < 4; look++) await own.ask("collectImages", {});
    await own.ask("fetchImage", { digest: IMAGE.digest, disk: path, caBundle });
  });
});

describe("restore, remove and collect", () => {
  it("bring an older version back, and free what a deleted workspace took", async () => {
    const workspace = randomUUID();
    const key = { account: server.account, workspace };
    const disk = await newDisk("old", "write -P 1 0 1M");
    const first = await exported(disk, {}, (source) => server.sync({ workspace, parent: null, source }));
    const before = await contentsOf(disk);
    await write(disk, "write -P 2 0 2M");
    const parent = keyOf(workspace, first.version);
    const second = await exported(disk, {}, (source) => server.sync({ workspace, parent, source }));
    const named = { name: "w", forkedFrom: null };
    const restored = await server.ask("restore", { ...parent, ...named, newest: second.version });
    assert.deepEqual([restored.seq, restored.reason], [3, "restore"]);
    assert.ok((await server.contents(workspace, restored)).equals(before));
    const again = await server.ask("restore", { ...parent, ...named, newest: second.version });
    assert.deepEqual(again, restored, "it was done");
    const late = { ...keyOf(workspace, second.version), ...named, newest: second.version };
    await assert.rejects(server.ask("restore", late), { code: "workspace_in_use" });
    assert.deepEqual((await server.ask("settle", { ...key, ...named })).at(-1), restored);

    await server.ask("remove", key);
    await server.ask("remove", key);
    await assert.rejects(server.ask("versions", key), { code: "workspace_not_found" });
    for (let look = 0; look < 5; look++) await server.ask("collect", { account: server.account, pinned: {} });
    assert.ok(!(await server.ask("workspaces", { account: server.account })).includes(workspace));
  });
});
