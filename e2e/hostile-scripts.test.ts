import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { assertOthersRun, python, submitBeside, untilPrinted } from "./harness/beside.ts";
import { type JobStatus, startServer, type TestServer } from "./harness/server.ts";
import { GO, tell } from "./harness/told.ts";

const GIB = 1024 ** 3;
const BLOCK_BYTES = 512;

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server[Symbol.asyncDispose]());

const output = async (id: string) => (await server.mags(["logs", id])).text;

function assertCompleted(status: JobStatus, exitCode: number): void {
  assert.deepEqual([status.status, status.exit_code], ["completed", exitCode], status.error_message);
}

const PYTHON_UNTIL_TOLD = `import os, time\nwhile not os.path.exists("${GO}"): time.sleep(0.1)`;
const SPIN_ABOVE_ALL = "exec chrt -f 99 sh -c 'while :; do :; done'";
const FORBID_OTHERS = "sleep 1; echo -1 > /proc/sys/kernel/sched_rt_runtime_us";

describe("a script that takes all it can get keeps no other job from running, and", () => {
  it("as a fork bomb is ended by its time-out", async () => {
    const script = "echo begun; bomb() { bomb | bomb & }; bomb; wait; sleep 60";
    const id = await submitBeside(server, { script, timeout: 4 });
    assertCompleted(await server.ended(id), 124);
  });

  it("out of memory is killed, with exit code 137, its output kept", async () => {
    const hog = 'print("begun", flush=True)\nkept = []\nwhile True: kept.append(b"x" * (1 << 22))';
    const id = await submitBeside(server, { script: python(hog) });
    assertCompleted(await server.ended(id), 137);
    assert.equal(await output(id), "begun\n");
  });

  it("out of memory that no process holds is killed, too", async () => {
    const script =
      "mkdir /tmp/m; mount -t tmpfs -o size=100G tmpfs /tmp/m; echo begun; head -c 4G /dev/zero > /tmp/m/fill";
    assertCompleted(await server.ended(await submitBeside(server, { script })), 137);
  });

  it("out of disk is told so, and has filled no more of the host's than its own disk has", async () => {
    const filler = `
import errno
print("begun", flush=True)
block = bytes(range(256)) * 4096
try:
    with open("/root/filler", "wb", buffering=0) as file:
        while True: file.write(block)
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
${PYTHON_UNTIL_TOLD}
raise SystemExit(5)`;
    const id = await submitBeside(server, { script: python(filler), disk_gb: 2 });
    await untilPrinted(server, id, "ENOSPC", 120_000);
    const { vm_id = "" } = await server.status(id);
    const { blocks } = await stat(join(server.dataDir, "vms", vm_id, "jail", "disk.qcow2"));
    const bytes = blocks * BLOCK_BYTES;
    assert.ok(bytes > 1.5 * GIB && bytes < 2.1 * GIB, `${bytes} bytes`);
    await tell(server, id);
    assertCompleted(await server.ended(id), 5);
    assert.equal(await output(id), "begun\nENOSPC\n");
  });

  it("out of shared memory is told so, and ends with its own code", async () => {
    const script = "echo begun; head -c 2G /dev/zero > /dev/shm/fill || echo full; exit 6";
    const id = await submitBeside(server, { script });
    assertCompleted(await server.ended(id), 6);
    assert.equal(await output(id), "begun\nfull\n");
  });

  it("out of process numbers goes on, exec in it says why it fails, and it can be stopped", async () => {
    const forks = `
import os, time
print("begun", flush=True)
open("/proc/sys/kernel/pid_max", "w").write("400")
try:
    while True:
        if os.fork() == 0: time.sleep(600)
except OSError as error:
    print(error.strerror, flush=True)
time.sleep(600)`;
    const id = await submitBeside(server, { script: python(forks) });
    await untilPrinted(server, id, "Resource temporarily unavailable");
    const reason = /the guest could not open a stream.*EAGAIN/;
    const once = await server.mags(["exec", "--json", id, "true"]);
    assert.equal(once.exitCode, 1);
    assert.match(once.errors, reason);
    const patient = server.startMags(["exec", id, "true"]);
    let said = "";
    patient.child.stderr?.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
    await waitFor(() => said.includes("trying again"), { what: "exec to say that it waits", deadlineMs: 30_000 });
    assert.match(said, reason);
    patient.child.kill("SIGINT");
    assert.equal((await patient.result).exitCode, 130);
    const { exitCode, errors } = await server.mags(["stop", id]);
    assert.equal(exitCode, 0, errors);
    assertCompleted(await server.status(id), 143);
  });

  it("above all others' priority is ended by its time-out, also when it leaves them no time at all", async () => {
    for (const before of ["true", FORBID_OTHERS]) {
      const id = await submitBeside(server, { script: `echo begun; ${before}; ${SPIN_ABOVE_ALL}`, timeout: 2 });
      assertCompleted(await server.ended(id, 30_000), 124);
      assert.equal(await output(id), "begun\n");
    }
  });

  it("above all others' priority can be stopped", async () => {
    const script = `echo begun; ${FORBID_OTHERS}; echo spinning; ${SPIN_ABOVE_ALL}`;
    const id = await submitBeside(server, { script });
    await untilPrinted(server, id, "spinning");
    const { exitCode, errors } = await server.mags(["stop", id]);
    assert.equal(exitCode, 0, errors);
    assert.equal((await server.status(id)).status, "completed");
  });

  it("with a wrong clock ends after its own time, and its output has the host's times", async () => {
    const from = Date.now();
    const script = "echo begun; date -s 2001-01-01; sleep 1; date -s 2040-01-01; sleep 1; echo end; exit 4";
    const id = await submitBeside(server, { script, timeout: 20 });
    const status = await server.ended(id);
    assertCompleted(status, 4);
    const ms = status.script_duration_ms ?? 0;
    assert.ok(ms >= 2_000 && ms < 10_000, `${ms} ms`);
    const { body } = await server.api.call("GET", `/api/v1/mags-jobs/${id}/logs`);
    const times = (body as { logs: { timestamp: string }[] }).logs.map(({ timestamp }) => Date.parse(timestamp));
    assert.equal(times.length, 4);
    assert.ok(
      times.every((time) => time >= from && time <= Date.now()),
      JSON.stringify(body),
    );
  });

  it("with a flood of output is read as fast as the host can store it", async () => {
    const id = await submitBeside(server, { script: "echo begun; head -c 300M /dev/zero; exit 3" });
    await assertOthersRun(server);
    assertCompleted(await server.ended(id), 3);
  });
});
