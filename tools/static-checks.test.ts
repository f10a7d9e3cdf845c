import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { ROOT } from "./source-files.ts";

/** Runs a program of node_modules on the whole repository. */
function check(program: string, args: readonly string[], cure: string) {
  const { status, stdout, stderr } = spawnSync("npx", ["--no-install", program, ...args], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 16 * 1024 * 1024,
  });
  assert.equal(status, 0, `${cure}\n${stdout}${stderr}`.slice(0, 6_000));
}

describe("the sources", () => {
  it("are formatted and free of lint", () => check("biome", ["check", "."], "most of it is done by: npm run format"));
  it("have types that hold", () => check("tsc", ["-p", "tsconfig.json"], "see: npm run typecheck"));
  it("hold nothing that nobody uses", () => check("knip", ["--no-config-hints"], "remove it, or see knip.json"));
});
