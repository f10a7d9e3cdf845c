import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { lockFile } from "./lock-file.ts";

describe("lockFile", () => {
  it("waits a moment for a process that is ending, and refuses while another lives on", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "lock");
    const began = join(dir.path, "began");
    const holder = spawn("flock", [path, "sh", "-c", `touch ${began}; exec sleep 60`], { detached: true });
    const { pid } = holder;
    assert.ok(pid);
    try {
      await waitFor(() => existsSync(began), { what: "the holder" });
      await assert.rejects(lockFile(path), /another magsd is using/);
      await assert.rejects(lockFile(path, { taken: "somebody has it" }), /^AppError: somebody has it$/);
      setTimeout(() => process.kill(-pid, "SIGKILL"), 300);
      await using _lock = await lockFile(path);
    } finally {
      if (holder.exitCode === null && holder.signalCode === null) process.kill(-pid, "SIGKILL");
    }
  });
});
