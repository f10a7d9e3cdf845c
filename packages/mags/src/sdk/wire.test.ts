import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { MAX_SCRIPT_BYTES } from "@mags/domain";
import { wireTypes } from "../../tools/wire-types.ts";
import { MAX_SCRIPT_BYTES as CHECKED_HERE } from "../cli/read-script.ts";

describe("what the package repeats of the server", () => {
  it("wire types are those of the API's schemas", () => {
    const kept = readFileSync(new URL("wire.generated.ts", import.meta.url), "utf8");
    assert.equal(kept, wireTypes(), "run: npm run generate -w @magpiecloud/mags");
  });

  it("the limit of a script's size is the server's", () => {
    assert.equal(CHECKED_HERE, MAX_SCRIPT_BYTES);
  });
});
