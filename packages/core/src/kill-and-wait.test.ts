import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { killAndWait } from "./kill-and-wait.ts";
import { identify, isAlive } from "./process-identity.ts";

/** Its first thread ends by the system call `exit` (60 on x86-64), and another goes on. */
const HEADLESS = `
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall(60, 0)
`;

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
