import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { shortageOf } from "./shortage.ts";

describe("shortageOf", () => {
  it("is the object store's where the host's disk has room", async () => {
    await using temp = await makeTempDir();
    assert.equal((await shortageOf(temp.path)).name, "store_away");
    await assert.rejects(shortageOf(`${temp.path}/gone`), { code: "ENOENT" });
  });
});
