import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sleep } from "@mags/core";
import { forEach } from "./for-each.ts";

const { signal } = new AbortController();

describe("forEach", () => {
  it("does the work for each item once, so many at a time", async () => {
    const done: number[] = [];
    let [inside, most] = [0, 0];
    await forEach([1, 2, 3, 4, 5, 6, 7], { width: 3, signal }, async (item) => {
      most = Math.max(most, ++inside);
      await sleep(1);
      inside--;
      done.push(item);
    });
    assert.deepEqual(done.toSorted(), [1, 2, 3, 4, 5, 6, 7]);
    assert.equal(most, 3);
  });

  it("gives up what is under way when one fails, begins no more, and tells what failed", async () => {
    const failure = new Error("the second failed");
    const begun: number[] = [];
    let givenUp = 0;
    const work = async (item: number, options: { readonly signal: AbortSignal }) => {
      begun.push(item);
      if (item === 2) throw failure;
      await sleep(60_000, options).catch(() => void givenUp++);
    };
    await assert.rejects(forEach([1, 2, 3, 4, 5, 6], { width: 3, signal }, work), failure);
    assert.ok(begun.length <= 3, begun.join());
    assert.equal(givenUp, begun.length - 1);
  });

  it("ends when the signal says so", async () => {
    const ending = new AbortController();
    const reason = new Error("not wanted any more");
    const going = forEach([1, 2, 3], { width: 1, signal: ending.signal }, (_, options) => sleep(60_000, options));
    ending.abort(reason);
    await assert.rejects(going, reason);
  });
});
