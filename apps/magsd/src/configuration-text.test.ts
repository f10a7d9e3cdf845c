import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { configurationText } from "./configuration-text.ts";

it("docs/configuration.md lists the keys as the schema has them", async () => {
  const checkedIn = await readFile(new URL("../../../docs/configuration.md", import.meta.url), "utf8");
  assert.ok(checkedIn === configurationText(), "docs/configuration.md differs from the schema: run npm run generate");
});
