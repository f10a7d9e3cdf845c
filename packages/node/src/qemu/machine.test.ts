import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import type { z } from "zod";
import { createMachine, type Machine } from "./machine.ts";
import type { Qmp } from "./qmp.ts";
import type { QmpEvent } from "./qmp-message.ts";

/** A QEMU that does nothing but take down its commands. */
function createFakeQmp() {
  const commands: string[] = [];
  const listeners: ((event: QmpEvent) => void)[] = [];
  const closed = Promise.withResolvers<string | null>();
  const qmp: Qmp = {
    async execute(command) {
      commands.push(command);
    },
    async executeWith(command) {
      commands.push(command);
    },
    query: async <T>(_command: string, reply: z.ZodType<T>) => reply.parse({ status: fake.status }),
    onEvent: (listener) => void listeners.push(listener),
    closed: closed.promise,
    async [Symbol.asyncDispose]() {
      closed.resolve(null);
    },
  };
  const fake = {
    qmp,
    commands,
    status: "running",
    stopForWantOfRoom() {
      for (const listener of listeners) listener({ event: "BLOCK_IO_ERROR", data: { action: "stop", nospace: true } });
    },
  };
  return fake;
}

describe("a guest whose write has no room on the host's disk", () => {
  let fake: ReturnType<typeof createFakeQmp>;
  let machine: Machine;
  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout"] });
    fake = createFakeQmp();
    machine = createMachine(fake.qmp);
  });
  afterEach(() => mock.timers.reset());

  it("is tried again each second, and is told of once a shortage", async () => {
    let told = 0;
    machine.onDiskFull(() => told++);
    for (let n = 1; n <= 60; n++) {
      fake.stopForWantOfRoom();
      mock.timers.tick(1_000);
      assert.equal(fake.commands.length, n);
    }
    assert.deepEqual([told, new Set(fake.commands)], [1, new Set(["cont"])]);
    mock.timers.tick(60_000);
    fake.stopForWantOfRoom();
    assert.equal(told, 2);
  });

  it("is told of to who listens only after the shortage began", () => {
    fake.stopForWantOfRoom();
    mock.timers.tick(1_000);
    let told = 0;
    machine.onDiskFull(() => told++);
    fake.stopForWantOfRoom();
    assert.equal(told, 1);
  });

  it("is said to wait, and not resumed for being asked about", async () => {
    fake.status = "io-error";
    assert.equal(await machine.status(), "waiting");
    mock.timers.tick(60_000);
    assert.deepEqual(fake.commands, []);
  });

  it("is not resumed while it is paused, not even when QEMU tells late of the write", async () => {
    fake.stopForWantOfRoom();
    await machine.pause();
    fake.stopForWantOfRoom();
    mock.timers.tick(60_000);
    assert.deepEqual(fake.commands, ["stop"]);
    await machine.resume();
    fake.stopForWantOfRoom();
    mock.timers.tick(1_000);
    assert.deepEqual(fake.commands, ["stop", "cont", "cont"]);
  });

  it("is stuck from its first write that fails until none has failed for some seconds, however long it is paused", async () => {
    assert.equal(machine.stuck.aborted, false);
    fake.stopForWantOfRoom();
    const { stuck } = machine;
    assert.ok(stuck.aborted);
    mock.timers.tick(4_000);
    fake.stopForWantOfRoom();
    mock.timers.tick(4_000);
    assert.equal(machine.stuck, stuck);
    await machine.pause();
    mock.timers.tick(60_000);
    assert.equal(machine.stuck, stuck);
    await machine.resume();
    assert.equal(machine.stuck, stuck);
    mock.timers.tick(5_000);
    assert.equal(machine.stuck.aborted, false);
  });

  it("is not resumed when its QEMU has gone", async () => {
    fake.stopForWantOfRoom();
    await fake.qmp[Symbol.asyncDispose]();
    await fake.qmp.closed;
    mock.timers.tick(60_000);
    assert.deepEqual(fake.commands, []);
  });
});
