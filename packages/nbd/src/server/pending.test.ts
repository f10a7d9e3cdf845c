import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createPending } from "./pending.ts";

const { signal } = new AbortController();

/** Whether a promise has been fulfilled once everything else had its turn. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  await turn();
  return done;
}

describe("createPending", () => {
  it("lets in what fits, and the next when there is room", async () => {
    const pending = createPending({ maxPendingBytes: 100, maxPendingRequests: 10 });
    const first = await pending.enter(60, { signal });
    const second = await pending.enter(40, { signal });
    const third = pending.enter(50, { signal });
    assert.equal(await settled(third), false);
    second();
    assert.equal(await settled(third), false);
    first();
    assert.equal(await settled(third), true);
    (await third)();
    assert.equal(await settled(pending.idle({ signal })), true);
  });

  it("counts requests, however small", async () => {
    const pending = createPending({ maxPendingBytes: 100, maxPendingRequests: 2 });
    const leaves = [await pending.enter(0, { signal }), await pending.enter(0, { signal })];
    const third = pending.enter(0, { signal });
    assert.equal(await settled(third), false);
    leaves[1]?.();
    assert.equal(await settled(third), true);
  });

  it("lets in one that is larger than everything, alone", async () => {
    const pending = createPending({ maxPendingBytes: 100, maxPendingRequests: 10 });
    const leave = await pending.enter(1, { signal });
    const large = pending.enter(1_000, { signal });
    assert.equal(await settled(large), false);
    leave();
    assert.equal(await settled(large), true);
  });

  it("stops waiting when the connection is gone", async () => {
    const gone = new AbortController();
    const pending = createPending({ maxPendingBytes: 100, maxPendingRequests: 1 });
    await pending.enter(1, { signal });
    const waits = [pending.enter(1, gone), pending.idle(gone)];
    gone.abort(new Error("gone"));
    for (const wait of waits) await assert.rejects(wait, /gone/);
  });
});
