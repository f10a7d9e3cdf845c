import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { etagOf, keepsTimes, setTime } from "./versions.ts";

describe("setTime", () => {
  it("gives a later time than the file that is replaced has, also when the clock was set back", async () => {
    await using dir = await makeTempDir();
    await using file = await open(join(dir.path, "file"), "wx");
    const clock = { now: () => new Date(1_700_000_000_000), monotonicMs: () => 0, bootMs: () => 0 };
    let replaced = await setTime(file, { clock: { ...clock, now: () => new Date(1_800_000_000_000) } });
    const etags = new Set([etagOf(replaced)]);
    for (let turn = 0; turn < 1_000; turn++) {
      const stats = await setTime(file, { clock, replaced });
      assert.ok(stats.mtimeNs > replaced.mtimeNs);
      etags.add(etagOf(stats));
      replaced = stats;
    }
    assert.equal(etags.size, 1_001);
  });
});

describe("keepsTimes", () => {
  it("tells file systems that keep microseconds from those that keep seconds", async () => {
    await using dir = await makeTempDir();
    await using file = await open(join(dir.path, "file"), "wx");
    assert.equal(await keepsTimes(file), true);
    const coarse = {
      utimes: (_: number, time: number) => file.utimes(Math.floor(time), Math.floor(time)),
      stat: file.stat.bind(file),
    };
    assert.equal(await keepsTimes(coarse), false);
  });
});
