import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TerminalSize } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createResize, sizeOf } from "./resize.ts";

describe("createResize", () => {
  it("applies the last of many sizes, and none before it has begun or after its end", async () => {
    const applied: TerminalSize[] = [];
    const resize = createResize((size) => applied.push(size));
    for (let rows = 1; rows <= 1_000; rows++) resize.to({ rows, cols: 80 });
    assert.deepEqual(applied, []);
    resize.begin();
    await waitFor(() => applied.length > 0, { what: "a size", intervalMs: 5 });
    assert.deepEqual(applied, [{ rows: 1_000, cols: 80 }]);
    resize.to({ rows: 5, cols: 5 });
    resize.end();
    resize.to({ rows: 6, cols: 6 });
    assert.equal(applied.length, 1);
  });
});

describe("sizeOf", () => {
  it("has a default for what is not known, and a limit", () => {
    assert.deepEqual(sizeOf({ rows: 0, cols: 0 }), { rows: 24, cols: 80 });
    assert.deepEqual(sizeOf({ rows: 4_000_000_000, cols: 132 }), { rows: 65_535, cols: 132 });
  });
});
