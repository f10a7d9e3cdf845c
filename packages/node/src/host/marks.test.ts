import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { changeMarks, type Marks } from "./marks.ts";

const first: Marks = { prefix: "mags", uplink_range: "10.213.0.0/16", uid_base: 1_910_000_100 };
const second: Marks = { ...first, prefix: "other" };

describe("changeMarks", () => {
  it("clears what carries the earlier ones, once, before it writes down the new", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "marks.json");
    const cleared: Marks[] = [];
    const steps = {
      goingOn: async () => 0,
      clear: async (marks: Marks) => {
        assert.deepEqual(JSON.parse(await readFile(path, "utf8")), marks);
        cleared.push(marks);
      },
    };
    for (const marks of [first, first, second, second]) await changeMarks(path, marks, steps);
    assert.deepEqual(cleared, [first]);
  });

  it("refuses while microVMs of jobs go on, and names the setting", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "marks.json");
    const steps = { goingOn: async () => 2, clear: () => assert.fail("nothing may be cleared") };
    await changeMarks(path, first, steps);
    await assert.rejects(
      changeMarks(path, second, steps),
      /^AppError: prefix was mags and is other now, but VMs of 2 jobs/,
    );
    assert.deepEqual(JSON.parse(await readFile(path, "utf8")), first);
  });
});
