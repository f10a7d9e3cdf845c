import assert from "node:assert/strict";
import { it } from "node:test";
import { counted } from "./counted.ts";

it("one is not many", () => {
  assert.deepEqual(
    [0, 1, 2].map((count) => counted(count, "workspace")),
    ["0 workspaces", "1 workspace", "2 workspaces"],
  );
});
