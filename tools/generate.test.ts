import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { openApiText } from "./openapi-text.ts";

describe("npm run generate", () => {
  it("has been run since the schemas changed", async () => {
    const checkedIn = await readFile(new URL("../docs/openapi.json", import.meta.url), "utf8");
    assert.ok(checkedIn === openApiText(), "docs/openapi.json differs from the schemas: run npm run generate");
  });
});
