import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import type { SandboxId } from "@mags/domain";
import type { PortRange } from "./ssh-access-store.ts";
import { createSshPorts } from "./ssh-ports.ts";

const RANGE = { from: 40_000, to: 40_003 };
const id = (name: string) => name as SandboxId;

/** Takes the least port that is free. */
function portStore(ports: Readonly<Record<string, number>> = {}) {
  const stored = new Map(Object.entries(ports) as [SandboxId, number][]);
  return {
    stored,
    ports: async () => new Map(stored),
    async choosePort(sandboxId: SandboxId, { from, to }: PortRange, { without }: { without: readonly number[] }) {
      await new Promise(setImmediate);
      const all = Array.from({ length: to - from + 1 }, (_, index) => from + index);
      const port = all.find((number) => !without.includes(number) && ![...stored.values()].includes(number));
      if (port === undefined) stored.delete(sandboxId);
      else stored.set(sandboxId, port);
      return port ?? null;
    },
  };
}

const portsOf = (store = portStore(), range: PortRange | null = RANGE) =>
  createSshPorts({ store, clock: systemClock, log: silentLogger }, { range, shared: () => 2222 });

describe("createSshPorts", () => {
  it("gives each sandbox a port of its own, the same each time, also when many ask at once", async () => {
    const ports = await portsOf();
    const asked = ["a", "b", "a", "c", "b"].map((name) => ports.ensure(id(name)));
    assert.deepEqual(await Promise.all(asked), [40_000, 40_001, 40_000, 40_002, 40_001]);
  });

  it("gives none when there is no range, or all are taken", async () => {
    assert.equal(await (await portsOf(portStore(), null)).ensure(id("a")), null);
    const ports = await portsOf(portStore(), { from: 40_000, to: 40_000 });
    assert.equal(await ports.ensure(id("a")), 40_000);
    assert.equal(await ports.ensure(id("b")), null);
    ports.drop(id("a"));
  });

  it("answers when every gateway listens, and tells them of ends", async () => {
    const ports = await portsOf(portStore({ old: 40_001, outside: 50_000 }));
    const told: number[][] = [];
    const gate = Promise.withResolvers<void>();
    ports.watch(async (all) => {
      told.push([...all].sort());
      if (told.length === 2) await gate.promise;
      return [];
    });
    const port = ports.ensure(id("a"));
    const soon = new Promise((resolve) => setTimeout(resolve, 50, "not yet"));
    assert.equal(await Promise.race([port, ports.ensure(id("a")), soon]), "not yet");
    gate.resolve();
    assert.equal(await port, 40_000);
    ports.drop(id("old"));
    await ports.ensure(id("a"));
    assert.deepEqual(told, [[40_001], [40_000, 40_001], [40_000]]);
  });

  it("chooses another port for one that a gateway cannot have, also for one from before", async () => {
    const store = portStore({ old: 40_002 });
    const ports = await portsOf(store);
    const bad = [40_000, 40_002];
    ports.watch(async (all) => [...all].filter((port) => bad.includes(port)));
    assert.equal(await ports.ensure(id("a")), 40_001);
    assert.equal(await ports.ensure(id("old")), 40_003);
    assert.equal(await ports.ensure(id("b")), null);
  });

  it("does not wait for a gateway that is gone, nor for one that fails, and not for ever for one that is slow", async () => {
    const ports = await portsOf();
    const end = ports.watch(() => new Promise(() => {}));
    end();
    ports.watch(() => Promise.reject(new Error("away")));
    assert.equal(await ports.ensure(id("a")), 40_000);
    ports.watch(() => new Promise(() => {}));
    assert.equal(await ports.ensure(id("b")), 40_001);
  });
});
