import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { python, submitBeside } from "./harness/beside.ts";
import { startServer, type TestServer } from "./harness/server.ts";

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server[Symbol.asyncDispose]());

const output = async (id: string) => (await server.mags(["logs", id])).text;

async function failure(script: string): Promise<string> {
  const id = await submitBeside(server, { script });
  const { status, error_message = "" } = await server.ended(id, 30_000);
  assert.equal(status, "error");
  assert.match(await output(id), /^begun\n/);
  return error_message;
}

describe("a script that turns on its guest's agent touches no other job, and", () => {
  it("by signals reaches nothing", async () => {
    const script = "echo begun; for s in KILL STOP SEGV TERM INT HUP USR1 ABRT; do kill -$s 1; done; sleep 1; exit 5";
    assert.equal((await server.ended(await submitBeside(server, { script }))).exit_code, 5);
  });

  it("by covering and removing what there is ends with its own code", async () => {
    const removal =
      "cp /bin/false /init; umount -l /; rm -rf /bin /sbin /lib64 /etc /usr/bin /usr/sbin /root /run /var";
    const id = await submitBeside(server, { script: `echo begun; ${removal}; echo still here; exit 6` });
    assert.equal((await server.ended(id)).exit_code, 6);
    assert.equal(await output(id), "begun\nstill here\n");
  });

  it("by unloading drivers ends with its own code", async () => {
    const script = "echo begun; for m in virtio_console virtio_blk virtio_net virtio_pci; do rmmod -f $m; done; exit 7";
    assert.equal((await server.ended(await submitBeside(server, { script }))).exit_code, 7);
  });

  it("by taking its devices away ends in error that says so, without a time-out as well", async () => {
    const unbind = "cd /sys/bus/virtio/drivers/virtio_console; for d in virtio*; do echo $d > unbind; done";
    const remove = "for d in /sys/bus/pci/devices/*; do echo 1 > $d/remove; done";
    for (const take of [unbind, remove])
      assert.equal(
        await failure(`echo begun; sleep 1; ${take}; sleep 600`),
        "the VM was lost: the guest's agent ended: its port to the host was removed",
      );
  });

  it("by writing to its port is refused", async () => {
    const script = "echo begun; for p in /dev/vport*; do echo garbage > $p || echo refused; done; exit 8";
    const id = await submitBeside(server, { script });
    assert.equal((await server.ended(id)).exit_code, 8);
    assert.equal(await output(id), "begun\nrefused\nrefused\n");
  });

  it("by writing garbage in its place ends in error that says so", async () => {
    const PIDFD_GETFD = 438;
    const reason = await failure(
      python(`
import ctypes, os, time
print("begun", flush=True)
time.sleep(0.5)
agent = os.pidfd_open(1)
for number in range(64):
    try: target = os.readlink(f"/proc/1/fd/{number}")
    except OSError: continue
    if "vport" in target: os.write(ctypes.CDLL(None).syscall(${PIDFD_GETFD}, agent, number, 0), b"garbage" * 1000)
time.sleep(600)`),
    );
    assert.match(reason, /the VM was lost: its guest agent broke the protocol: /);
  });

  it("by writing to its memory ends in error that says so", async () => {
    const reason = await failure(
      python(`
print("begun", flush=True)
ranges = [line.split()[0] for line in open("/proc/1/maps") if "r-xp" in line and "/init" in line]
with open("/proc/1/mem", "r+b", buffering=0) as memory:
    for begin, end in ((int(number, 16) for number in each.split("-")) for each in ranges):
        memory.seek(begin)
        memory.write(b"\\xcc" * (end - begin))
print("done")`),
    );
    assert.match(reason, /the VM was lost: the guest's kernel panicked: Attempted to kill init/);
  });

  it("by holding it like a debugger is ended by its time-out all the same, and can be stopped", async () => {
    const PTRACE_ATTACH = 16;
    const script = python(`
import ctypes, time
print("begun", flush=True)
time.sleep(0.5)
ctypes.CDLL(None).ptrace(${PTRACE_ATTACH}, 1, 0, 0)
time.sleep(600)`);
    const [late, stopped] = [
      await submitBeside(server, { script, timeout: 4 }),
      await submitBeside(server, { script }),
    ];
    const { exitCode, errors } = await server.mags(["stop", stopped]);
    assert.equal(exitCode, 0, errors);
    assert.equal((await server.status(stopped)).status, "completed");
    assert.equal((await server.ended(late, 40_000)).exit_code, 124);
  });
});
