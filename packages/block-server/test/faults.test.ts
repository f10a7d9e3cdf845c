/** Object stores that go wrong while disks are published and served. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { type ObjectStore, retryStore } from "@mags/object-store";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { newDisk, newFaultyStore, problemsOf, readAt } from "./disks.ts";
import { startTestServer, write } from "./harness.ts";

let temp: TempDir;
before(async () => {
  temp = await makeTempDir();
});
after(() => temp[Symbol.asyncDispose]());

const patient = (store: ObjectStore, deadlineMs: number) =>
  retryStore(store, { log: silentLogger, random: Math.random }, { deadlineMs, firstPauseMs: 1, maxPauseMs: 10 });

describe("a sync", () => {
  it("does not notice failures, lost replies and uploads that are cut off, as long as they end", async () => {
    const faulty = newFaultyStore();
    await using server = await startTestServer(patient(faulty, 60_000), join(temp.path, "cut"));
    const disk = await newDisk(server, temp.path);
    for (const kind of ["busy", "lost_reply"] as const) {
      await write(disk.path, `write -P ${kind.length} 0 20M`);
      faulty.inject({ kind, on: /./, times: 200, chance: 0.4 });
      const version = await disk.sync();
      faulty.heal();
      assert.ok(await disk.isPublished(version), kind);
    }
    assert.deepEqual(await problemsOf(faulty, server), []);
  });

  it("goes on from the version before when the head was lost: it is written anew, with all versions", async () => {
    const faulty = newFaultyStore();
    await using server = await startTestServer(faulty, join(temp.path, "beheaded"));
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 1 0 1M");
    const first = await disk.sync();
    await faulty.delete(`accounts/${server.account}/workspaces/${disk.workspace}/head`);
    await write(disk.path, "write -P 2 0 1M");
    await assert.rejects(disk.sync(), { code: "lease_lost" });
    const second = await disk.sync();
    assert.ok(await disk.isPublished(second));
    assert.deepEqual(await server.ask("versions", disk.key), [first, second]);
    assert.deepEqual(await problemsOf(faulty, server), []);
  });

  for (const kind of ["busy", "stall", "full"] as const)
    it(`publishes nothing when the store does not recover: ${kind}; the next one publishes all`, async () => {
      const faulty = newFaultyStore();
      await using server = await startTestServer(patient(faulty, 300), join(temp.path, kind));
      const disk = await newDisk(server, temp.path);
      await write(disk.path, "write -P 1 0 20M");
      const first = await disk.sync();
      await write(disk.path, "write -P 2 10M 20M");
      for (const on of [/^put .*packs/, /^put .*versions/, /^put .*head/]) {
        faulty.inject({ kind, on, times: 1_000_000 });
        await assert.rejects(disk.sync(), { code: kind === "full" ? "disk_full" : "unavailable" });
        faulty.heal();
        assert.deepEqual(await server.ask("versions", disk.key), [first]);
      }
      const second = await disk.sync();
      assert.equal(second.seq, 2);
      assert.ok(await disk.isPublished(second));
      assert.deepEqual(await problemsOf(faulty, server), []);
    });
});

describe("what is served", () => {
  it("fails where a pack is lost or damaged, and nowhere else; what comes again is read", async () => {
    const faulty = newFaultyStore();
    await using server = await startTestServer(faulty, join(temp.path, "lost"));
    /** Two chunks in one pack, one in another; no two disks have the same, which the cache would know. */
    const serveDisk = async (value: number) => {
      const disk = await newDisk(server, temp.path);
      await write(disk.path, `write -P ${value} 0 64k`, `write -P ${value + 1} 64k 64k`);
      await disk.sync();
      await write(disk.path, `write -P ${value + 2} 64M 64k`);
      const version = disk.refOf(await disk.sync());
      await write(disk.path, `write -P ${value + 3} 64k 64k`);
      await disk.sync();
      const socket = join(temp.path, `${value}.sock`);
      await server.ask("serve", { id: disk.workspace, version, socket, uid: 0 });
      const from = faulty.calls.length;
      await readAt(socket, "0", value);
      const get = faulty.calls.slice(from).find((call) => call.startsWith("get ") && call.includes("/packs/"));
      assert.ok(get);
      const read = (offset: "64k" | "64M") => readAt(socket, offset, offset === "64k" ? value + 1 : value + 2);
      return { id: disk.workspace, read, pack: get.slice("get ".length) };
    };
    const [lost, damaged, whole] = [await serveDisk(10), await serveDisk(20), await serveDisk(30)];
    const { bytes } = await faulty.get(damaged.pack);
    await faulty.delete(lost.pack);
    await faulty.put(damaged.pack, Buffer.from(bytes.map((byte) => byte ^ 1)));
    for (const { read } of [lost, damaged]) {
      await assert.rejects(read("64k"), { stdout: /Input\/output error/ });
      assert.match(await read("64M"), /read 65536/);
    }
    assert.match(await whole.read("64k"), /read 65536/);
    await assert.rejects(damaged.read("64k"), { stdout: /Input\/output error/ });
    await waitFor(async () => (await server.ask("damages", { heard: 0 })).length > 1, { what: "word of both" });
    const told = await server.ask("damages", { heard: 0 });
    assert.deepEqual(
      new Set(told.map(({ id, version, offset, sound }) => `${id} ${version.version.seq} ${offset} ${sound}`)),
      new Set([lost, damaged].map(({ id }) => `${id} 2 65536 3`)),
    );
    assert.equal(told.length, 2, "each is told once");
    await faulty.put(damaged.pack, bytes);
    assert.match(await damaged.read("64k"), /read 65536/);
    const problems = await problemsOf(faulty, server);
    const name = lost.pack.split("/").at(-1) ?? "";
    assert.ok(problems.length > 0 && problems.every((line) => line.includes(name)), problems.join("\n"));
  });

  it("is told to wait while the store never answers, and is read on when it does", async () => {
    const faulty = newFaultyStore();
    await using server = await startTestServer(patient(faulty, 500), join(temp.path, "still"));
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 3 0 1M");
    const version = disk.refOf(await disk.sync());
    const socket = join(temp.path, "still.sock");
    await server.ask("serve", { id: "still", version, socket, uid: 0 });
    faulty.inject({ kind: "stall", on: /^get /, times: 1_000_000 });
    await assert.rejects(readAt(socket, "0", 3), { stdout: /No space left/ });
    faulty.heal();
    assert.match(await readAt(socket, "0", 3), /read 65536/);
  });
});
