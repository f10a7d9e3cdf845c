import assert from "node:assert/strict";
import { mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { newJobId } from "@mags/domain";
import { type Binding, clearBinding, prepareBinding, readBinding, writeBinding } from "./binding.ts";

let directory: string;
before(async () => {
  directory = await mkdtemp("/tmp/mags-bind-");
});
after(() => rm(directory, { recursive: true }));

const binding: Binding = {
  jobId: newJobId(),
  size: { image: "standard", vcpus: 1, memoryMiB: 1024, diskGiB: 2, egress: "filtered" },
  boundAtMs: 5,
  boundAtBootMs: 6,
  timeoutMs: null,
};

describe("binding", () => {
  it("tells one that a newer version wrote from none", async () => {
    const path = join(directory, "newer");
    const file = await prepareBinding(path);
    await writeBinding(file, { ...binding, version: 3 } as Binding);
    assert.equal(await readBinding(path), "newer");
    await file.close();
  });

  it("binds nothing before it is written, exactly what was written afterwards, and nothing once it is taken back", async () => {
    const path = join(directory, "a");
    const file = await prepareBinding(path);
    assert.equal(await readBinding(path), null);
    await writeBinding(file, binding);
    assert.deepEqual(await readBinding(path), binding);
    await clearBinding(file);
    assert.equal(await readBinding(path), null);
    await file.close();
  });

  it("binds nothing when it is missing, cut or torn", async () => {
    assert.equal(await readBinding(join(directory, "none")), null);
    const path = join(directory, "b");
    const file = await prepareBinding(path);
    await writeBinding(file, binding);
    await file.close();
    for (const size of [0, 5, 8, 100]) {
      const cut = await open(path, "r+");
      await cut.truncate(size);
      await cut.truncate(4096); // what was not written reads as zeros
      await cut.close();
      assert.equal(await readBinding(path), null, `cut at ${size}`);
    }
  });
});
