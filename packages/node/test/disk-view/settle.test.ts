/** A server that is killed at any step of a view leaves a disk that can be settled, and no change is lost. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { trackChanges } from "../../src/qemu/disk-view/disk-view.ts";
import { settleDisk } from "../../src/qemu/disk-view/settle.ts";
import type { Qmp } from "../../src/qemu/qmp.ts";
import { assertView, changedBlocks } from "./model-disk.ts";
import { openViewHarness, type ViewHarness } from "./view-harness.ts";

const KILLED = new Error("the server was killed");

/** A monitor that takes so many commands, then none, as when the process at its other end is no more. */
function createMortal(qmp: Qmp, commands: number): { readonly qmp: Qmp; readonly killed: boolean } {
  let left = commands;
  const live = <T>(call: () => Promise<T>): Promise<T> => (left-- > 0 ? call() : Promise.reject(KILLED));
  return {
    qmp: {
      ...qmp,
      execute: (command, args) => live(() => qmp.execute(command, args)),
      query: (command, reply, args) => live(() => qmp.query(command, reply, args)),
      executeWith: (command, args, send) => live(() => qmp.executeWith(command, args, send)),
    },
    get killed() {
      return left < 0;
    },
  };
}

interface Reached {
  /** The view was there, so that what it held could be published. */
  opened: boolean;
  /** Writes until the moment of the view. */
  writes: number;
}

/** What a server does from the beginning of a view to its end, with writes of the guest between. */
async function sync(disk: ViewHarness, qmp: Qmp, reached: Reached & { readonly published: boolean }): Promise<void> {
  const view = await disk.open(
    {
      ...{ since: "0", next: "1" },
      async atMoment(take) {
        await disk.write(3);
        reached.writes = disk.model.writes;
        await take();
        await disk.write(4);
      },
    },
    { qmp },
  );
  reached.opened = true;
  await disk.write(2, 5);
  await view.finish({ published: reached.published });
}

describe("settleDisk", () => {
  for (const published of [false, true])
    it(`leaves one bitmap that knows all, wherever a view was cut off that was ${published ? "" : "not "}published`, async (t) => {
      let steps = 0;
      for (let over = false; !over; steps++) {
        await using disk = await openViewHarness();
        await trackChanges(disk.qemu.qmp, "0");
        await disk.write(1, 2);
        const mortal = createMortal(disk.qemu.qmp, steps);
        const reached = { published, opened: false, writes: 0 };
        await sync(disk, mortal.qmp, reached).catch((error: unknown) => assert.match(String(error), /was killed/));
        over = !mortal.killed;

        // What was published last is known from elsewhere.
        const since = published && reached.opened ? { name: "1", writes: reached.writes } : { name: "0", writes: 0 };
        const qmp = await disk.qemu.connectAgain();
        for (let n = 0; n < 2; n++) {
          const settled = await settleDisk(qmp, disk.qemu.place, { since: since.name });
          assert.deepEqual(settled, { tracked: true }, `after ${steps} commands`);
        }
        await disk.assertSettled(since.name);
        await disk.write(6);
        await using view = await disk.open({ since: since.name, next: "2" });
        const state = disk.model.since(since.writes);
        await assertView(view, state);
        // A write may be told of although it was before the moment, but no block that nobody wrote to.
        for (const block of await changedBlocks(view)) assert.ok(disk.model.since(0).changed.has(block));
      }
      t.diagnostic(`${steps} steps`);
      assert.ok(steps > 15, `${steps} steps`);
    });

  it("leaves none when what is asked for is named after something else, or nothing is", async () => {
    await using disk = await openViewHarness();
    const { qmp, place } = disk.qemu;
    for (const since of ["7", null]) {
      await trackChanges(qmp, "0");
      await disk.open({ since: "0", next: "1" });
      assert.deepEqual(await settleDisk(qmp, place, { since }), { tracked: false });
      await disk.assertSettled(null);
    }
  });

  it("leaves alone what it has not made", async () => {
    await using disk = await openViewHarness();
    const { qmp, place } = disk.qemu;
    await qmp.execute("block-dirty-bitmap-add", { node: "disk1", name: "other" });
    await settleDisk(qmp, place, { since: null });
    await qmp.execute("block-dirty-bitmap-remove", { node: "disk1", name: "other" });
  });
});
