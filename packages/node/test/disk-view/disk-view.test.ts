import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { NbdError } from "@mags/nbd";
import fc from "fast-check";
import { trackChanges } from "../../src/qemu/disk-view/disk-view.ts";
import { settleDisk } from "../../src/qemu/disk-view/settle.ts";
import { assertView, BLOCK, changedBlocks } from "./model-disk.ts";
import { BLOCKS, DEADLINE_MS, openViewHarness, SIZE, type ViewHarness } from "./view-harness.ts";

let disk: ViewHarness;
beforeEach(async () => {
  disk = await openViewHarness();
});
afterEach(() => disk[Symbol.asyncDispose]());

describe("openDiskView", () => {
  it("shows all that a disk holds, while it is overwritten", async () => {
    await disk.write(0, 5, 6, 47);
    const then = disk.model.since(0);
    await using view = await disk.open({ since: null, next: "1" });
    await disk.write(5, 20, 47);
    assert.deepEqual(await changedBlocks(view), [0, 5, 6, 47]);
    await assertView(view, then);
    assert.ok((await view.client.read(20 * BLOCK, BLOCK)).equals(Buffer.alloc(BLOCK)));
    await view.finish({ published: true });
    await disk.assertSettled("1");
  });

  it("shows what has changed from one view to the next, and what has not been published again", async () => {
    await trackChanges(disk.qemu.qmp, "0");
    const anyBlocks = fc.array(fc.nat({ max: BLOCKS - 1 }), { maxLength: 6 });
    const round = fc.record({ before: anyBlocks, during: anyBlocks, published: fc.boolean() });
    let since = { name: "0", writes: 0 };
    let serial = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 4 }), async (rounds) => {
        for (const { before: early, during, published } of rounds) {
          await disk.write(...early);
          const then = disk.model.since(since.writes);
          const next = { name: String(++serial), writes: disk.model.writes };
          await using view = await disk.open({ since: since.name, next: next.name });
          await disk.write(...during);
          assert.deepEqual(
            await changedBlocks(view),
            [...then.changed].toSorted((a, b) => a - b),
          );
          await assertView(view, then);
          await view.finish({ published });
          if (published) since = next;
          await disk.assertSettled(since.name);
        }
      }),
      { numRuns: 15 },
    );
  });

  it("tells what has changed to zeros, and reads nothing of it", async () => {
    await disk.write(1, 2, 3);
    await trackChanges(disk.qemu.qmp, "0");
    await disk.qemu.write(2 * BLOCK, BLOCK, 0);
    await disk.qemu.qmp.execute("human-monitor-command", {
      "command-line": `qemu-io slot "write -q -z ${3 * BLOCK} ${BLOCK}"`,
    });
    await using view = await disk.open({ since: "0", next: "1" });
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const changes = [];
    for await (const change of view.changes({ signal })) changes.push(change);
    assert.deepEqual(changes, [
      { offset: 2 * BLOCK, length: BLOCK, zero: false },
      { offset: 3 * BLOCK, length: BLOCK, zero: true },
    ]);
  });

  it("is what the disk held at the moment, whatever is written before and after", async () => {
    await trackChanges(disk.qemu.qmp, "0");
    await disk.write(1, 2);
    let then = disk.model.since(0);
    await using view = await disk.open({
      ...{ since: "0", next: "1" },
      async atMoment(take) {
        await disk.write(2, 3);
        then = disk.model.since(0);
        await take();
        await disk.write(3, 4);
      },
    });
    assert.deepEqual(await changedBlocks(view), [1, 2, 3]);
    await assertView(view, then);
  });

  it("takes no more room than what is overwritten", async () => {
    await disk.write(...Array.from({ length: BLOCKS }, (_, n) => n));
    await using view = await disk.open({ since: null, next: "1" });
    const taken = () => statSync(disk.qemu.place.scratch.host).blocks * 512;
    assert.equal(taken(), 0);
    await disk.write(7, 8, 7);
    assert.equal(taken(), 2 * BLOCK);
    assert.equal(view.client.sizeBytes, SIZE);
  });

  it("does not know of changes after its QEMU was killed, and does when it ended by itself", async () => {
    await trackChanges(disk.qemu.qmp, "0");
    await disk.write(1);
    await disk.qemu.quit();
    await disk.startAgain();
    assert.deepEqual(await settleDisk(disk.qemu.qmp, disk.qemu.place, { since: "0" }), { tracked: true });
    await disk.write(2);
    {
      await using view = await disk.open({ since: "0", next: "1" });
      assert.deepEqual(await changedBlocks(view), [1, 2]);
    }
    await disk.qemu.kill();
    await disk.startAgain();
    assert.deepEqual(await settleDisk(disk.qemu.qmp, disk.qemu.place, { since: "0" }), { tracked: false });
    await disk.assertSettled(null);
    await using view = await disk.open({ since: null, next: "1" });
    await assertView(view, disk.model.since(0));
  });

  it("knows of changes to a disk that has grown", async () => {
    await trackChanges(disk.qemu.qmp, "0");
    await disk.write(1);
    const sizeBytes = 2 * SIZE;
    await disk.qemu.qmp.execute("block_resize", { "node-name": "slot", size: sizeBytes });
    await disk.qemu.write(sizeBytes - BLOCK, BLOCK, 9);
    const { qmp, place } = disk.qemu;
    await using view = await disk.open({ since: "0", next: "1" }, { qmp, sizeBytes });
    assert.deepEqual(await changedBlocks(view), [1, 2 * BLOCKS - 1]);
    await view.finish({ published: true });
    await disk.qemu.quit();
    await disk.startAgain();
    assert.deepEqual(await settleDisk(disk.qemu.qmp, place, { since: "1" }), { tracked: true });
  });

  it("is lost when there is no room for what is overwritten, and the guest writes on", async () => {
    await trackChanges(disk.qemu.qmp, "0");
    const last = BLOCKS - 1;
    await disk.write(1, last);
    await using view = await disk.open({ since: "0", next: "1" });
    // As if there were none: the disk's file, which is still small, can be written to, and the end of the scratch file cannot.
    const limit = (bytes: string) =>
      execFileSync("prlimit", [`--fsize=${bytes}:unlimited`, "--pid", String(disk.qemu.pid)]);
    limit(String(16 * BLOCK));
    await disk.write(last, 2);
    limit("unlimited");
    for (const block of [1, last])
      await assert.rejects(
        view.client.read(block * BLOCK, BLOCK),
        (error) => error instanceof NbdError && error.errno === "EINVAL",
      );
    await view.finish({ published: false });
    await disk.assertSettled("0");
    await using next = await disk.open({ since: "0", next: "2" });
    await assertView(next, disk.model.since(0));
  });
});
