import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import type { z } from "zod";
import { createMachine } from "./machine.ts";
import type { Qmp } from "./qmp.ts";
import type { QmpEvent } from "./qmp-message.ts";

/** A QEMU that does nothing but take down its commands. */
function createFakeQmp() {
  const commands: string[] = [];
  const listeners: ((event: QmpEvent) => void)[] = [];
  const closed = Promise.withResolvers<string | null>();
  let status = "running";
  const qmp: Qmp = {
    async execute(command) {
      commands.push(command);
    },
    query: async <T>(_command: string, reply: z.ZodType<T>) => reply.parse({ status }),
    onEvent: (listener) => void listeners.push(listener),
    closed: closed.promise,
    async [Symbol.asyncDispose]() {
      closed.resolve(null);
    },
  };
  return {
    qmp,
    commands,
    stopForWantOfRoom() {
      status = "io-error";
      for (const listener of listeners) listener({ event: "BLOCK_IO_ERROR", data: { action: "stop", nospace: true } });
    },
  };
}

describe("a guest whose write has no room on the host's disk", () => {
  it("is tried again each second, is told of once, and counts as running", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const fake = createFakeQmp();
      const machine = createMachine(fake.qmp);
      let told = 0;
      machine.onDiskFull(() => told++);
      for (let n = 1; n <= 3; n++) {
        fake.stopForWantOfRoom();
        assert.equal(await machine.status(), "running");
        mock.timers.tick(1_000);
        assert.equal(fake.commands.length, n);
      }
      assert.deepEqual([told, new Set(fake.commands)], [1, new Set(["cont"])]);
    } finally {
      mock.timers.reset();
    }
  });

  it("is not resumed when it was paused meanwhile, or has gone", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const fake = createFakeQmp();
      const machine = createMachine(fake.qmp);
      fake.stopForWantOfRoom();
      await machine.pause();
      fake.stopForWantOfRoom();
      await fake.qmp[Symbol.asyncDispose]();
      await fake.qmp.closed;
      mock.timers.tick(60_000);
      assert.deepEqual(fake.commands, ["stop"]);
    } finally {
      mock.timers.reset();
    }
  });
});
