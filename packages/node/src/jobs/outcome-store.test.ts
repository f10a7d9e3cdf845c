import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { silentLogger } from "@mags/core";
import { newJobId, newMicroVmId } from "@mags/domain";
import { makeTempDir } from "@mags/test-kit";
import { openOutcomeStore } from "./outcome-store.ts";

it("gives back what was put, and throws away what a power cut left of others", async () => {
  await using temp = await makeTempDir();
  const store = await openOutcomeStore(temp.path, { log: silentLogger });
  const end = { kind: "failed", message: "why", endedAtMs: 7 } as const;
  const outcome = { jobId: newJobId(), microVmId: newMicroVmId(), startedAtMs: 5, end };
  await store.put(outcome);
  await writeFile(join(temp.path, `${newJobId()}.json`), "");
  await writeFile(join(temp.path, `${newJobId()}.json.0011.tmp`), "{");
  assert.deepEqual(await store.all(), [outcome]);
  assert.deepEqual(await readdir(temp.path), [`${outcome.jobId}.json`]);
});
