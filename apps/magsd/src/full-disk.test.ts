import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { explainFullDisk } from "./full-disk.ts";

describe("a start that failed", () => {
  it("is explained by the full disk where that is why, also when clearing up failed, too", async () => {
    await using dir = await makeTempDir();
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const message = `the host's disk is full: free some room under ${dir.path}`;
    for (const error of [full, new SuppressedError(new Error("then that"), full)]) {
      const explained = await explainFullDisk(error, dir.path);
      assert.ok(explained instanceof AppError);
      assert.deepEqual([explained.code, explained.message, explained.cause], ["disk_full", message, error]);
    }
    for (const error of [new Error("other"), new AppError("validation_failed", "a wrong key")])
      assert.equal(await explainFullDisk(error, dir.path), error);
  });
});
