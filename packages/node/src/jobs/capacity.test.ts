import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createCapacity } from "./capacity.ts";

const plenty = { availableMiB: () => 50 };
const never = { signal: new AbortController().signal };

describe("createCapacity", () => {
  it("admits in order of arrival, also when a later one would fit", async () => {
    const capacity = createCapacity({ budgetMiB: 1_000, floorMiB: 50 }, plenty);
    const first = await capacity.reserve(800, never);
    const order: string[] = [];
    const big = capacity.reserve(600, never).then((give) => order.push("big") && give);
    const small = capacity.reserve(100, never).then((give) => order.push("small") && give);
    assert.equal(capacity.waiting, 2);
    first();
    first();
    await Promise.all([big, small]);
    assert.deepEqual(order, ["big", "small"]);
    assert.equal(capacity.reservedMiB, 700);
  });

  it("lets one through that is larger than the budget when nothing else runs", async () => {
    const capacity = createCapacity({ budgetMiB: 100, floorMiB: 50 }, plenty);
    (await capacity.reserve(500, never))();
    assert.equal(capacity.reservedMiB, 0);
  });

  it("forgets who gives up waiting", async () => {
    const capacity = createCapacity({ budgetMiB: 100, floorMiB: 50 }, plenty);
    const give = await capacity.reserve(100, never);
    const leaving = new AbortController();
    const waits = capacity.reserve(90, { signal: leaving.signal });
    const next = capacity.reserve(100, never);
    leaving.abort(new Error("stopped"));
    await assert.rejects(waits, /stopped/);
    give();
    (await next)();
    assert.equal(capacity.reservedMiB, 0);
  });

  it("keeps the next waiting while the host itself runs short, and admits it when that is over", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    let available = 49;
    const capacity = createCapacity({ budgetMiB: 1_000, floorMiB: 50 }, { availableMiB: () => available });
    const first = await capacity.reserve(100, never);
    let admitted = false;
    const second = capacity.reserve(100, never).then((give) => {
      admitted = true;
      return give;
    });
    t.mock.timers.tick(1_000);
    await Promise.resolve();
    assert.equal(admitted, false);
    available = 50;
    t.mock.timers.tick(250);
    const give = await second;
    for (const done of [first, give]) done();
    assert.equal(capacity.reservedMiB, 0);
  });
});
