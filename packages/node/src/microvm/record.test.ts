import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type MicroVmId, newMicroVmId } from "@mags/domain";
import { makeTempDir } from "@mags/test-kit";
import { type MicroVmRecord, readRecords, writeRecord } from "./record.ts";

const record = (id: MicroVmId): MicroVmRecord => ({
  version: 1,
  id,
  index: 3,
  templateKey: "t",
  bootId: "b",
  process: null,
  parked: null,
});

describe("readRecords", () => {
  it("tells records, what has none, and what a newer version wrote", async () => {
    await using temp = await makeTempDir();
    const [own, newer, torn] = [newMicroVmId(), newMicroVmId(), newMicroVmId()];
    await writeRecord(temp.path, record(own));
    await writeRecord(temp.path, { ...record(newer), version: 2 } as unknown as MicroVmRecord);
    await mkdir(join(temp.path, torn));
    await writeFile(join(temp.path, torn, "vm.json"), '{"version":1,');
    await mkdir(join(temp.path, "empty"));
    const { found, strays, newer: unknown } = await readRecords(temp.path);
    assert.deepEqual(found, [{ record: record(own), binding: null }]);
    assert.deepEqual(strays.toSorted(), [torn, "empty"].toSorted());
    assert.deepEqual(unknown, [newer]);
  });
});
