import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createTaken } from "./taken.ts";

describe("createTaken", () => {
  it("takes what each run of an edge tells once, in order", () => {
    const taken = createTaken();
    const told = [
      ["a", 1],
      ["a", 2],
      ["a", 1],
      ["a", 2],
      ["b", 1],
      ["a", 4],
      ["a", 4],
    ] as const;
    assert.deepEqual(
      told.map(([edge, ordinal]) => taken.take(edge, ordinal)),
      [true, true, false, false, true, true, false],
    );
  });

  it("forgets the run that has told nothing for longest when there are many", () => {
    const taken = createTaken({ most: 2 });
    for (const edge of ["a", "b", "a", "c"]) taken.take(edge, 1);
    assert.deepEqual(
      ["a", "c", "b"].map((edge) => taken.take(edge, 1)),
      [false, false, true],
    );
  });
});
