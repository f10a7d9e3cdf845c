import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { systemClock } from "@mags/core";
import { newJobId } from "@mags/domain";
import { removeOldLogs } from "./retention.ts";

it("old output is deleted, young output and that of living jobs is kept", async () => {
  const directory = await mkdtemp("/tmp/mags-log-");
  try {
    const [old, young, living] = [newJobId(), newJobId(), newJobId()];
    for (const jobId of [old, young, living]) {
      const path = join(directory, jobId.slice(0, 2), `${jobId}.log`);
      await mkdir(join(directory, jobId.slice(0, 2)), { recursive: true });
      await writeFile(path, "x");
      const days = jobId === young ? 29 : 31;
      const at = new Date(Date.now() - days * 24 * 60 * 60_000);
      await utimes(path, at, at);
    }
    const deps = { clock: systemClock, isLive: (jobId: string) => jobId === living };
    assert.equal(await removeOldLogs(directory, deps, { days: 30 }), 1);
    const left = (await Promise.all((await readdir(directory)).map((shard) => readdir(join(directory, shard))))).flat();
    assert.deepEqual(left.sort(), [`${living}.log`, `${young}.log`].sort());
  } finally {
    await rm(directory, { recursive: true });
  }
});
