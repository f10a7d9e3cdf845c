import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { configurationText } from "../apps/magsd/src/configuration-text.ts";
import { openApiText } from "./openapi-text.ts";

const checkedIn = (name: string) => readFile(new URL(`../docs/${name}`, import.meta.url), "utf8");

describe("npm run generate", () => {
  it("has been run since the schemas changed", async () => {
    const documents = { "openapi.json": openApiText(), "configuration.md": configurationText() };
    for (const [name, text] of Object.entries(documents))
      assert.ok((await checkedIn(name)) === text, `docs/${name} differs from the schemas: run npm run generate`);
  });
});
