import assert from "node:assert/strict";
import { appendFile, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { openLogFile } from "./log-file.ts";

describe("openLogFile", () => {
  it("keeps the newest lines, and never more than two full files", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "log");
    const log = openLogFile(path, { maxBytes: 100 });
    for (let n = 100; n < 160; n++) {
      log.write(`line ${n}\n`);
      assert.ok((await stat(path)).size <= 100);
    }
    assert.deepEqual((await readdir(dir.path)).toSorted(), ["log", "log.1"]);
    const kept = (await readFile(`${path}.1`, "utf8")) + (await readFile(path, "utf8"));
    const lines = kept.trimEnd().split("\n");
    assert.ok(lines.length > 11 && lines.length <= 22);
    assert.deepEqual(
      lines,
      Array.from({ length: lines.length }, (_, n) => `line ${160 - lines.length + n}`),
    );
  });

  it("goes on in what an earlier process wrote, and leaves room to those who write to the same file", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "log");
    await appendFile(path, "before\n");
    const log = openLogFile(path, { maxBytes: 100 });
    log.write("log\n");
    await appendFile(path, "last words\n");
    log.write("log\n");
    assert.equal(await readFile(path, "utf8"), "before\nlog\nlast words\nlog\n");
    await appendFile(path, "x".repeat(200));
    log.write("log\n");
    assert.equal(await readFile(path, "utf8"), "log\n");
    assert.match(await readFile(`${path}.1`, "utf8"), /last words\nlog\nx+$/);
  });

  it("drops what it cannot write", () => {
    // Every write to it fails as on a full disk.
    openLogFile("/dev/full", { maxBytes: 100 }).write("line\n");
  });
});
