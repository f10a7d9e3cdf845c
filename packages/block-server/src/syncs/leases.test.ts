import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { type Clock, silentLogger, systemClock } from "@mags/core";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import { waitFor } from "@mags/test-kit";
import { type Lease, readHead } from "@mags/workspace-store";
import { createLeases } from "./leases.ts";

const MINUTE_MS = 60_000;
const signal = AbortSignal.timeout(60_000);
const newKey = () => ({ account: randomUUID() as string, workspace: randomUUID() as string });
const CREATE = { signal, create: { name: "w", forkedFrom: null } };

const holderOf = async (store: ObjectStore, key: ReturnType<typeof newKey>) =>
  (await readHead(store, key, { signal }))?.head.lease?.holder;

describe("createLeases", () => {
  it("keeps a lease up while it is worked with, and the work can publish with it", async (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    let passedMs = 0;
    const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + passedMs) };
    using leases = createLeases({
      store: createMemoryStore(),
      fitness: async () => {},
      holder: "node-a",
      clock,
      log: silentLogger,
    });
    await leases.with(newKey(), CREATE, async (lease) => {
      for (let look = 0; look < 3; look++) {
        const before = lease.expiresAt.getTime();
        passedMs += 6 * MINUTE_MS;
        t.mock.timers.tick(MINUTE_MS);
        await waitFor(() => lease.expiresAt.getTime() > before, { what: "the renewal" });
      }
      await lease.update((head) => ({ ...head, name: "renamed" }), { signal });
      assert.equal(lease.head.name, "renamed");
    });
  });

  it("gives back what was taken for one piece of work, whatever became of it, and keeps what was held before", async () => {
    const store = createMemoryStore();
    using leases = createLeases({
      store,
      fitness: async () => {},
      holder: "node-a",
      clock: systemClock,
      log: silentLogger,
    });
    const key = newKey();
    await leases.with(key, CREATE, async () => {});
    await leases.briefly(key, { signal }, async () => {});
    assert.equal(await holderOf(store, key), "node-a");
    await leases.release(key, { signal });
    const failing = async () => {
      throw new Error("no");
    };
    await assert.rejects(leases.briefly(key, { signal }, failing), /no/);
    assert.equal(await holderOf(store, key), undefined);
  });

  it("lets nothing be written any more that was begun before it was settled", async () => {
    const store = createMemoryStore();
    using leases = createLeases({
      store,
      fitness: async () => {},
      holder: "node-a",
      clock: systemClock,
      log: silentLogger,
    });
    const key = newKey();
    let late: Lease | undefined;
    await leases.with(key, CREATE, async (lease) => {
      late = lease;
    });
    assert.deepEqual(await leases.settle({ ...key, ...CREATE.create }, { signal }), []);
    await assert.rejects(late?.update((head) => head, { signal }) ?? Promise.resolve(), { code: "lease_lost" });
    assert.equal(await holderOf(store, key), undefined);
    await leases.with(key, { signal }, async () => {});
  });
});
