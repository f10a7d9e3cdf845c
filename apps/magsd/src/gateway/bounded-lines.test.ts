import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { readLines } from "./bounded-lines.ts";

function linesOf(pieces: readonly string[]): { readonly lines: string[]; readonly excess: number } {
  const from = new PassThrough();
  const found = { lines: [] as string[], excess: 0 };
  readLines(from, 10, {
    line: (text) => void found.lines.push(text),
    excess: () => {
      found.excess++;
    },
  });
  for (const piece of pieces) from.emit("data", Buffer.from(piece));
  return found;
}

describe("readLines", () => {
  it("gives lines however they come, and not the one that has not ended", () => {
    assert.deepEqual(linesOf(["a\nb", "c\n\nd"]), { lines: ["a", "bc", ""], excess: 0 });
  });

  it("stops at a line that is too long", () => {
    assert.deepEqual(linesOf(["a\n", "0123456789", "0", "\nb\n"]), { lines: ["a"], excess: 1 });
  });
});
