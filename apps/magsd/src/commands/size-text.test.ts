import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sizeText } from "./size-text.ts";

describe("sizeText", () => {
  it("takes the unit that fits", () => {
    const sizes = [0, 1023, 1024, 12_345, 1024 ** 2 - 1, 270.3 * 1024 ** 2, 5 * 1024 ** 3, 2048 * 1024 ** 4];
    assert.deepEqual(sizes.map(sizeText), [
      ...["0 B", "1023 B", "1.0 KiB", "12.1 KiB"],
      ...["1.0 MiB", "270.3 MiB", "5.0 GiB", "2048.0 TiB"],
    ]);
  });
});
