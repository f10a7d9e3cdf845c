import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createCleanup } from "./cleanup.ts";

describe("a cleanup", () => {
  it("takes each step until it has succeeded, whatever becomes of the others", async () => {
    const taken: string[] = [];
    let broken = true;
    const step = (name: string, fails: () => boolean) => async () => {
      taken.push(name);
      if (fails()) throw new Error(`${name} failed`);
    };
    const clean = createCleanup([
      step("first", () => broken),
      step("second", () => false),
      step("third", () => broken),
    ]);
    await assert.rejects(clean(), /first failed/);
    assert.deepEqual(taken.splice(0), ["first", "second", "third"]);
    broken = false;
    await clean();
    assert.deepEqual(taken.splice(0), ["first", "third"]);
    await clean();
    assert.deepEqual(taken, []);
  });
});
