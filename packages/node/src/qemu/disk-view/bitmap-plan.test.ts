import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { planBitmaps } from "./bitmap-plan.ts";
import type { ChangeBitmap } from "./block-graph.ts";

const bitmap = (name: string, recording: boolean, inconsistent = false): ChangeBitmap => ({
  name,
  recording,
  inconsistent,
});
const NONE = { kept: null, enable: false, merge: [], remove: [] };

describe("planBitmaps", () => {
  it("leaves one that is alone as it is", () => {
    const plan = { kept: "a", enable: false, merge: [], remove: [] };
    assert.deepEqual(planBitmaps([bitmap("a", true)], "a"), plan);
    assert.deepEqual(planBitmaps([], "a"), NONE);
    assert.deepEqual(planBitmaps([], null), NONE);
  });

  it("drops the older one when the view was published", () => {
    const plan = { kept: "b", enable: false, merge: [], remove: ["a"] };
    assert.deepEqual(planBitmaps([bitmap("a", false), bitmap("b", true)], "b"), plan);
  });

  it("puts both together again when it was not", () => {
    const plan = { kept: "a", enable: true, merge: ["b"], remove: ["b"] };
    assert.deepEqual(planBitmaps([bitmap("a", false), bitmap("b", true)], "a"), plan);
    assert.deepEqual(planBitmaps([bitmap("a", true), bitmap("b", true)], "a"), { ...plan, enable: false });
  });

  it("keeps none that is named after something else, and none that cannot be trusted", () => {
    const both = ["a", "b"];
    assert.deepEqual(planBitmaps([bitmap("a", false), bitmap("b", true)], "c"), { ...NONE, remove: both });
    assert.deepEqual(planBitmaps([bitmap("a", false), bitmap("b", true)], null), { ...NONE, remove: both });
    assert.deepEqual(planBitmaps([bitmap("a", true, true)], "a"), { ...NONE, remove: ["a"] });
    assert.deepEqual(planBitmaps([bitmap("a", false), bitmap("b", true, true)], "a"), { ...NONE, remove: both });
    assert.deepEqual(planBitmaps([bitmap("a", false, true), bitmap("b", true)], "b").kept, "b");
  });

  it("never loses a change, wherever a view was cut off", () => {
    // What each bitmap knows, as sets of blocks, through the steps of a view with writes between them.
    const writes = fc.array(fc.nat({ max: 20 }), { maxLength: 3 });
    const steps = fc.tuple(writes, writes, writes, writes);
    fc.assert(
      fc.property(steps, fc.nat({ max: 3 }), fc.boolean(), ([before, between, after, late], cutAt, wantsNext) => {
        const known = new Map([["old", new Set<number>()]]);
        const recording = new Set(["old"]);
        const write = (blocks: readonly number[]) => {
          for (const name of recording) for (const block of blocks) known.get(name)?.add(block);
        };
        const sinceOld = [...before, ...between, ...after, ...late];
        write(before);
        if (cutAt >= 1) {
          known.set("next", new Set());
          recording.add("next");
        }
        write(between);
        // Here is the moment of the view.
        write(after);
        if (cutAt >= 2) recording.delete("old");
        write(late);
        const published = wantsNext && cutAt >= 2;
        const bitmaps = [...known.keys()].map((name) => bitmap(name, recording.has(name)));
        const plan = planBitmaps(bitmaps, published ? "next" : "old");
        assert.equal(plan.kept, published ? "next" : "old");
        const left = new Set([plan.kept, ...plan.merge].flatMap((name) => [...(known.get(name ?? "") ?? [])]));
        for (const block of published ? [...after, ...late] : sinceOld) assert.ok(left.has(block));
        assert.ok(plan.enable || recording.has(plan.kept ?? ""));
        assert.deepEqual(new Set([plan.kept, ...plan.remove]), new Set(known.keys()));
      }),
    );
  });
});
