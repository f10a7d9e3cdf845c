import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { identify, isAppError, silentLogger } from "@mags/core";
import { newMicroVmId } from "@mags/domain";
import { describeRun, makeTempDir, seedFrom } from "@mags/test-kit";
import { createMicroVmHost } from "../../src/microvm/microvm-host.ts";
import { pathsOf } from "../../src/microvm/record.ts";
import { createMachine, type GuestEnd } from "../../src/qemu/machine.ts";
import { openQmp, type Qmp } from "../../src/qemu/qmp.ts";
import { type Command, type FakeQemu, GREETING, honestAnswer, line, startFakeQemu } from "./fake-qemu.ts";
import { fuzzQmp } from "./qmp-fuzz.ts";

const LINES = 100_000;
const SEED = seedFrom(process.env.FUZZ_SEED);
const MIB = 1024 ** 2;

describe("the client of QEMU's machine protocol", () => {
  it(`survives ${LINES} lines of QEMUs that were taken over (FUZZ_SEED=${SEED}): each is served or ends with a reason, others are served, no memory is lost`, {
    timeout: 110_000,
  }, async (t) => {
    const run = await fuzzQmp({ seed: SEED, frames: LINES });
    t.diagnostic(describeRun("QMP lines", run));
    assert.ok(run.frames >= LINES);
    assert.ok(run.reasons.size >= 12, `the lies were of few kinds: ${[...run.reasons]}`);
    assert.ok(run.violations < run.conversations, "some conversations went well");
    assert.ok(run.heldBytes < 64 * MIB, `${run.heldBytes} bytes more are held`);
  });

  describe("ends the connection, with the reason, when QEMU", () => {
    let qemu: FakeQemu;
    let qmp: Qmp;

    /** `answer`: what it says to commands once it is connected. */
    async function connect(answer: (command: Command) => string): Promise<void> {
      qemu.serve({
        onConnect: () => qemu.write(line(GREETING)),
        onCommand: (command) => {
          const text = command.execute === "qmp_capabilities" ? honestAnswer(command) : answer(command);
          if (text) qemu.write(text);
        },
      });
      qmp = await openQmp(qemu.path, { signal: AbortSignal.timeout(5_000), commandDeadlineMs: 500 });
    }

    beforeEach(async () => {
      qemu = await startFakeQemu();
    });
    afterEach(async () => {
      await qmp[Symbol.asyncDispose]();
      await qemu[Symbol.asyncDispose]();
    });

    const nested = (open: string, close: string) => open.repeat(60_000) + close.repeat(60_000);
    const cases: [string, RegExp, (command: Command) => string][] = [
      ["sends what is not JSON", /sent a line that is not JSON/, () => "QEMU says hello\n"],
      ["sends a line without end", /sent a line of more than 131072 bytes/, () => `"${"x".repeat(200_000)}`],
      ["sends brackets within brackets", /sent a line that is no object/, () => `${nested("[", "]")}\n`],
      [
        "answers what was not asked",
        /sent an answer to what was not asked/,
        () => line({ return: {}, id: 99 }).repeat(2),
      ],
      ["answers twice", /sent an answer to what was not asked/, (command) => honestAnswer(command).repeat(2)],
      ["answers without a number", /sent an answer without a number/, () => line({ return: {} })],
      ["greets again", /sent a second greeting/, () => line(GREETING)],
      ["answers with another type", /query-status that makes no sense/, ({ id }) => line({ return: [7], id })],
      ["does not answer", /did not answer query-status within 0.5 s/, () => ""],
      ["sends events without end", /sent events without end/, () => line({ event: "RESET" }).repeat(1_100)],
      [
        "sends errors of disks without end",
        /sent events without end/,
        () => line({ event: "BLOCK_IO_ERROR", data: { action: "report", reason: "x".repeat(200) } }).repeat(20_000),
      ],
      [
        "sends large events without end",
        /sent events without end/,
        () => line({ event: "RESET", data: { x: "x".repeat(100_000) } }).repeat(50),
      ],
    ];
    for (const [name, reason, answer] of cases) {
      it(name, async () => {
        await connect(answer);
        const asked = createMachine(qmp).status();
        asked.catch(() => {});
        assert.match((await qmp.closed) ?? "", reason);
        await asked.catch((error: unknown) => assert.ok(isAppError(error, "microvm_lost"), String(error)));
        await assert.rejects(qmp.execute("stop"), (error) => isAppError(error, "microvm_lost"));
      });
    }

    it("only ends, without a reason", async () => {
      await connect(honestAnswer);
      await qemu[Symbol.asyncDispose]();
      assert.equal(await qmp.closed, null);
    });
  });

  it("takes the events of an honest QEMU, and tells once how its guest ended", async () => {
    await using qemu = await startFakeQemu();
    const events = line({ event: "VSERPORT_CHANGE", data: { open: true } }).repeat(200);
    const ends =
      line({ event: "GUEST_PANICKED" }) + line({ event: "SHUTDOWN", data: { guest: true, reason: "guest-panic" } });
    qemu.serve({
      onConnect: () => qemu.write(line(GREETING)),
      onCommand: (command) => qemu.write(events + ends + honestAnswer(command)),
    });
    await using qmp = await openQmp(qemu.path, { signal: AbortSignal.timeout(5_000) });
    const told: GuestEnd[] = [];
    const machine = createMachine(qmp);
    machine.onGuestEnd((end) => told.push(end));
    assert.equal(await machine.status(), "paused");
    assert.deepEqual(told, ["panicked"]);
  });

  it("sends nothing while another process sends a command for it, and goes on when that fails", async () => {
    await using qemu = await startFakeQemu();
    const heard: string[] = [];
    qemu.serve({
      onConnect: () => qemu.write(line(GREETING)),
      onCommand(command) {
        heard.push(command.execute);
        qemu.write(honestAnswer(command));
      },
    });
    await using qmp = await openQmp(qemu.path, { signal: AbortSignal.timeout(5_000) });
    let meanwhile: Promise<void> | undefined;
    await qmp.executeWith("getfd", { fdname: "x" }, async (_connection, message) => {
      meanwhile = qmp.execute("cont");
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(heard, ["qmp_capabilities"]);
      qemu.write(honestAnswer(JSON.parse(message) as Command)); // as the process that sends it would cause
    });
    await meanwhile;
    const failed = qmp.executeWith("getfd", { fdname: "x" }, () => Promise.reject(new Error("no process")));
    await assert.rejects(failed, /no process/);
    await qmp.execute("stop");
    assert.deepEqual(heard, ["qmp_capabilities", "cont", "stop"]);
  });

  it("takes the answer to what the client before it asked, and not for one of its own", async () => {
    await using qemu = await startFakeQemu();
    const stray = line({ return: { status: "running" }, id: 1 });
    qemu.serve({
      onConnect: () => qemu.write(stray + line(GREETING)),
      onCommand: (command) => qemu.write(honestAnswer(command)),
    });
    await using qmp = await openQmp(qemu.path, { signal: AbortSignal.timeout(5_000) });
    assert.equal(await createMachine(qmp).status(), "paused");
  });

  it("takes the errors of every request in a guest's queue, for many tries", async () => {
    await using qemu = await startFakeQemu();
    const data = {
      ...{ device: "", "node-name": "slot", "qom-path": "/machine/peripheral/vdb/virtio-backend", nospace: true },
      ...{ operation: "write", action: "report", reason: "No space left on device" },
    };
    const errors = line({ timestamp: { seconds: 1e9, microseconds: 1e5 }, event: "BLOCK_IO_ERROR", data }).repeat(256);
    qemu.serve({
      onConnect: () => qemu.write(line(GREETING)),
      onCommand: (command) => qemu.write(errors + honestAnswer(command)),
    });
    await using qmp = await openQmp(qemu.path, { signal: AbortSignal.timeout(5_000) });
    for (let n = 0; n < 30; n++) await qmp.execute("cont");
  });

  it("shows nothing of QEMU's text that acts on a terminal or cannot be stored", async () => {
    await using qemu = await startFakeQemu();
    qemu.serve({
      onConnect: () => qemu.write(line(GREETING)),
      onCommand: (command) =>
        qemu.write(
          command.execute === "cont"
            ? line({ id: command.id, error: { class: "GenericError", desc: `no\0\u001b[2J${"x".repeat(5_000)}` } })
            : honestAnswer(command),
        ),
    });
    await using qmp = await openQmp(qemu.path, { signal: AbortSignal.timeout(5_000) });
    await assert.rejects(qmp.execute("cont"), (error: Error) => {
      assert.match(error.message, /^QEMU refused cont: no��\[2Jx+$/);
      return error.message.length < 600;
    });
  });
});

describe("a microVM whose QEMU breaks the machine protocol", () => {
  it("is lost with that reason", async () => {
    await using root = await makeTempDir();
    const id = newMicroVmId();
    const paths = pathsOf(root.path, id);
    await mkdir(dirname(paths.qmpSocket), { recursive: true });
    await using qemu = await startFakeQemu(paths.qmpSocket);
    qemu.serve({
      onConnect: () => qemu.write(line(GREETING)),
      onCommand: (command) => qemu.write(honestAnswer(command)),
    });
    const unused = {} as never; // adopting a microVM takes nothing but its record and its sockets
    const host = createMicroVmHost(
      { runtime: unused, network: unused, namespaces: unused, tidier: unused, cgroups: null, log: silentLogger },
      { root: root.path, uidBase: 1, capacity: 1, bootId: "this" },
    );
    const self = await identify(process.pid);
    assert.ok(self);
    const microVm = await host.adopt({
      version: 1,
      id,
      index: 1,
      templateKey: "t",
      bootId: "this",
      process: self,
      parked: null,
    });
    qemu.write("garbage\n");
    assert.equal(await microVm.lost, "its QEMU broke the machine protocol: it sent a line that is not JSON");
    assert.ok(microVm.gone.aborted);
  });
});
