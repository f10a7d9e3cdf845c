import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { processesByUid } from "./processes.ts";

/** Starts a child as uid 64999 that ends at once, and never asks how it ended: a zombie until its parent ends. */
const CARELESS = `
import subprocess, time
child = subprocess.Popen(["true"], user=64999)
time.sleep(60)
`;

describe("processesByUid", () => {
  it("does not name a process that ended and whose parent has not asked about it", async (t) => {
    const parent = spawn("python3", ["-c", CARELESS], { stdio: "ignore" });
    t.after(() => parent.kill("SIGKILL"));
    const { pid = 0 } = parent;
    const text = (path: string) => readFile(`/proc/${path}`, "latin1").catch(() => "");
    const zombie = async () => {
      const child = (await text(`${pid}/task/${pid}/children`)).trim();
      return child !== "" && /^State:\s+Z/m.test(await text(`${child}/status`));
    };
    await waitFor(zombie, { what: "the zombie" });
    assert.equal((await processesByUid()).has(64999), false);
    assert.ok((await processesByUid()).get(process.getuid?.() ?? 0)?.some((found) => found.pid === pid));
  });
});
