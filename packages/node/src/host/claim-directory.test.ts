import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { claimDirectory } from "./claim-directory.ts";

it("a data directory serves one installation, and no older state of its database", async () => {
  const directory = await mkdtemp("/tmp/mags-claim-");
  try {
    const path = join(directory, "installation.json");
    await claimDirectory(path, { id: "a", epoch: 1 });
    await claimDirectory(path, { id: "a", epoch: 3 });
    await assert.rejects(claimDirectory(path, { id: "b", epoch: 4 }), /belongs to installation a/);
    await assert.rejects(claimDirectory(path, { id: "a", epoch: 2 }), /older than this data directory/);
    await claimDirectory(path, { id: "a", epoch: 3 });
  } finally {
    await rm(directory, { recursive: true });
  }
});
