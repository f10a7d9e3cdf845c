import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pour } from "./pour.ts";

it("has few pieces wait for who takes them, and goes on with them, in order, when they are taken", async () => {
  const taken: string[] = [];
  const takes: (() => void)[] = [];
  const to = new Writable({
    write(piece, _encoding, done) {
      taken.push(String(piece));
      takes.push(done);
    },
  });
  const from = new PassThrough();
  pour(from, to);
  const all = Array.from({ length: 1000 }, (_, at) => String(at));
  let most = 0;
  for (const piece of all) {
    from.write(piece);
    await nextTurn();
    most = Math.max(most, to.writableLength);
  }
  assert.equal(most, all.slice(0, 64).join("").length);
  while (taken.length < all.length) {
    takes.shift()?.();
    await nextTurn();
  }
  assert.deepEqual(taken, all);
});

it("waits for one that is full, and reads on when it is gone", async () => {
  const from = new PassThrough();
  const to = new Writable({ highWaterMark: 10, write() {} });
  pour(from, to);
  from.write("0123456789");
  await nextTurn();
  assert.ok(from.isPaused());
  from.end("lost");
  to.destroy();
  await once(from, "end");
});
