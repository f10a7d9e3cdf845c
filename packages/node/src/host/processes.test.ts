import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { identify, isAlive } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import { killAndWait, processesByUid } from "./processes.ts";

/** Its first thread ends by the system call `exit` (60 on x86-64), and another goes on. */
const HEADLESS = `
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall(60, 0)
`;

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

describe("killAndWait", () => {
  it("ends a process whose first thread ended and whose others run", async () => {
    const child = spawn("python3", ["-c", HEADLESS], { stdio: "ignore" });
    const exited = once(child, "exit");
    const { pid = 0 } = child;
    const state = async () => /^State:\s+(\S)/m.exec(await readFile(`/proc/${pid}/status`, "latin1"))?.[1];
    await waitFor(async () => (await state()) === "Z", { what: "the end of the first thread" });
    const identity = await identify(pid);
    assert.ok(identity && (await isAlive(identity)));
    await killAndWait(identity);
    assert.equal(await isAlive(identity), false);
    assert.deepEqual(await exited, [null, "SIGKILL"]);
  });
});
