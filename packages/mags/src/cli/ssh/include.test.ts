import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { withInclude, withoutInclude } from "./include.ts";

const FILE = "~/.ssh/mags/config";
const OTHERS = [
  "",
  "Host a\n  User b\n",
  "# mine\nInclude other\n\nHost *\n",
  `Host a\n  Include ${FILE}2\n`,
  "Host a",
];

describe("withInclude", () => {
  it("puts the line before everything, once, and withoutInclude gives the text back as it was", () => {
    for (const text of OTHERS) {
      const included = withInclude(text, FILE);
      assert.ok(included.startsWith(`Include ${FILE}\n`), text);
      assert.ok(included.endsWith(text), text);
      assert.equal(withInclude(included, FILE), included);
      assert.equal(withoutInclude(included, FILE), text);
    }
  });

  it("takes a line for its own wherever it holds for all entries, and only there", () => {
    for (const text of [`# mine\ninclude ${FILE}\nHost a\n`, `User b\nInclude=${FILE}\n`])
      assert.equal(withInclude(text, FILE), text);
    const inEntry = `Host a\n  Include ${FILE}\n`;
    assert.equal(withInclude(inEntry, FILE), `Include ${FILE}\n\n${inEntry}`);
  });
});
