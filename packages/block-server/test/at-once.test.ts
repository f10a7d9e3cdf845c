/** Two that use one workspace at once, and clocks that disagree. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Clock, systemClock } from "@mags/core";
import { createMemoryStore } from "@mags/object-store";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { newDisk, newFaultyStore, problemsOf } from "./disks.ts";
import { startTestServer, write } from "./harness.ts";

let temp: TempDir;
before(async () => {
  temp = await makeTempDir();
});
after(() => temp[Symbol.asyncDispose]());

const DAY_MS = 24 * 3_600_000;

describe("two that use one workspace at once", () => {
  it("a deletion waits for the sync that is under way, and what was published goes with it", async () => {
    const faulty = newFaultyStore();
    await using server = await startTestServer(faulty, join(temp.path, "deleted"), { graceMs: DAY_MS });
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 1 0 20M");
    const held = faulty.hold(/^put .*head/, { nth: 2 });
    const syncing = disk.sync();
    await held.reached;
    const removing = server.ask("remove", disk.key);
    await server.ask("hello", {}); // which it has heard after the other
    held.letGo();
    await Promise.all([syncing, removing]);
    await assert.rejects(server.ask("versions", disk.key), { code: "workspace_not_found" });
    await assert.rejects(disk.sync(), { code: "workspace_not_found" });
    assert.deepEqual(await problemsOf(faulty, server), []);
  });

  it("a deletion by another node wins over the sync that is under way: nothing comes back", async () => {
    const faulty = newFaultyStore();
    await using server = await startTestServer(faulty, join(temp.path, "gone-a"));
    const other = { holder: "node-b", account: server.account };
    await using deleting = await startTestServer(faulty, join(temp.path, "gone-b"), other);
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 1 0 20M");
    await disk.sync();
    await write(disk.path, "write -P 2 0 20M");
    const held = faulty.hold(/^put .*versions/);
    const syncing = assert.rejects(disk.sync(), { code: "lease_lost" });
    await held.reached;
    await deleting.ask("remove", disk.key);
    held.letGo();
    await syncing;
    await assert.rejects(server.ask("versions", disk.key), { code: "workspace_not_found" });
    for (let look = 0; look < 6; look++) await deleting.ask("collect", { account: server.account, pinned: {} });
    const left: string[] = [];
    for await (const { key } of faulty.list("accounts/")) if (!key.endsWith("/condemned")) left.push(key);
    assert.deepEqual(left, []);
  });

  it("a collection removes nothing of a publication that is held up, wherever that is", async () => {
    const faulty = newFaultyStore();
    const clock = jumpingClock();
    await using server = await startTestServer(faulty, join(temp.path, "held"), { graceMs: DAY_MS, clock });
    const disk = await newDisk(server, temp.path);
    for (const [n, on] of [/^put .*versions/, /^put .*head/].entries()) {
      await write(disk.path, `write -P ${n + 1} 0 20M`);
      // Of a workspace that is new the first put of its head is the lease.
      const held = faulty.hold(on, { nth: 1 });
      const syncing = disk.sync();
      await held.reached;
      let waiting = 0;
      for (let look = 0; look < 11; look++) {
        clock.jump(3_600_000);
        const { removed, waiting: seen } = await server.ask("collect", { account: server.account, pinned: {} });
        assert.equal(removed, 0);
        waiting = seen;
      }
      assert.ok(waiting > 0, "it is garbage until the head names it");
      held.letGo();
      assert.ok(await disk.isPublished(await syncing));
    }
    assert.deepEqual(await problemsOf(faulty, server), []);
  });
});

describe("a clock that jumps by a day", () => {
  for (const days of [1, -1])
    it(`${days > 0 ? "forth" : "back"} neither ends a lease nor hurries the collector`, async () => {
      const store = createMemoryStore();
      const clock = jumpingClock();
      await using server = await startTestServer(store, join(temp.path, `clock${days}`), { graceMs: DAY_MS, clock });
      const disk = await newDisk(server, temp.path);
      await write(disk.path, "write -P 1 0 1M");
      const first = await disk.sync();
      await server.ask("collect", { account: server.account, pinned: {} });
      clock.jump(days * DAY_MS);
      await write(disk.path, "write -P 2 1M 1M");
      const second = await disk.sync();
      const garbage = await newDisk(server, temp.path);
      await write(garbage.path, "write -P 3 0 1M");
      await garbage.sync();
      await server.ask("remove", garbage.key);
      for (let look = 0; look < 5; look++) {
        clock.jump(days * DAY_MS);
        assert.equal((await server.ask("collect", { account: server.account, pinned: {} })).removed, 0);
      }
      assert.deepEqual(await server.ask("versions", disk.key), [first, second]);
      assert.ok(await disk.isPublished(second));
      assert.deepEqual(await problemsOf(store, server), []);
    });

  it("lets a node whose clock is ahead take the lease: the other one publishes nothing any more", async () => {
    const store = createMemoryStore();
    const clock = jumpingClock();
    await using server = await startTestServer(store, join(temp.path, "behind"));
    const options = { holder: "node-b", account: server.account, clock };
    await using ahead = await startTestServer(store, join(temp.path, "ahead"), options);
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 1 0 1M");
    await disk.sync();
    await write(disk.path, "write -P 2 0 1M");
    await assert.rejects(disk.sync(ahead), { code: "lease_held" });
    clock.jump(DAY_MS);
    const taken = await disk.sync(ahead);
    await write(disk.path, "write -P 3 0 1M");
    await assert.rejects(disk.sync(), { code: "lease_lost" });
    assert.equal((await server.ask("versions", disk.key)).at(-1)?.sha256, taken.sha256);
    assert.deepEqual(await problemsOf(store, server), []);
  });
});

/** The wall clock jumps; time since the start goes on as ever. */
function jumpingClock(): Clock & { jump(ms: number): void } {
  let byMs = 0;
  return {
    ...systemClock,
    now: () => new Date(systemClock.now().getTime() + byMs),
    jump: (ms) => {
      byMs += ms;
    },
  };
}
