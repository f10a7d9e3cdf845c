import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, silentLogger, systemClock } from "@mags/core";
import type { GuestId, UrlAccess } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createUrlTraffic } from "./url-traffic.ts";
import type { TrafficBatch } from "./url-traffic-store.ts";

const guest = (n: number) => `5b0c2f6e-1d2f-4a7a-9d55-${String(n).padStart(12, "0")}` as GuestId;
const access = (change: Partial<UrlAccess> = {}): UrlAccess => ({
  ...{ atMs: Date.UTC(2026, 0, 2, 23, 59), host: "a.localhost", guest: guest(1), clientAddress: "192.0.2.1" },
  ...{ method: "GET", path: "/", status: 200, durationMs: 5, bytesIn: 1, bytesOut: 2, ...change },
});

function setUp(add: (batch: TrafficBatch) => Promise<void> = async () => {}) {
  const stored: TrafficBatch[] = [];
  const store = {
    async add(batch: TrafficBatch) {
      await add(batch);
      stored.push(batch);
    },
  };
  const errors: unknown[] = [];
  const log = { ...silentLogger, error: (event: string, fields?: object) => void errors.push({ event, ...fields }) };
  const clock = { ...systemClock, now: () => new Date(Date.UTC(2026, 0, 3)) };
  const traffic = createUrlTraffic({ store, clock, log });
  return { traffic, stored, errors, close: () => traffic.close({ deadlineMs: 1_000 }) };
}

describe("createUrlTraffic", () => {
  it("sums up what is alike: sandbox, day, first digit of the status, and class of duration", async () => {
    const { traffic, stored, close } = setUp();
    traffic.note(access());
    traffic.note(access({ status: 204, durationMs: 1, path: "/b" }));
    for (const change of [{ guest: guest(2) }, { atMs: Date.UTC(2026, 0, 3) }, { status: 304 }, { durationMs: 5.01 }])
      traffic.note(access(change));
    await close();
    assert.equal(stored.length, 1);
    const [first, ...others] = stored[0]?.counts ?? [];
    assert.deepEqual(first, {
      ...{ guest: guest(1), day: "2026-01-02", statusClass: 2, bucket: 0 },
      ...{ requests: 2, bytesIn: 2, bytesOut: 4, durationMs: 6 },
    });
    assert.deepEqual(
      others.map(({ day, statusClass, bucket }) => [day, statusClass, bucket]),
      [
        ["2026-01-02", 2, 0],
        ["2026-01-03", 2, 0],
        ["2026-01-02", 3, 0],
        ["2026-01-02", 2, 1],
      ],
    );
    assert.deepEqual(traffic.totals, { requests: { 1: 0, 2: 5, 3: 1, 4: 0, 5: 0 }, bytesIn: 6, bytesOut: 12 });
  });

  it("takes no time of a gateway whose clock is wrong", async () => {
    const { traffic, stored, close } = setUp();
    for (const atMs of [0, 8.64e15, Number.MAX_SAFE_INTEGER]) traffic.note(access({ atMs }));
    await close();
    assert.deepEqual(
      stored[0]?.counts.map(({ day, requests }) => [day, requests]),
      [
        ["2026-01-02", 1],
        ["2026-01-03", 2],
      ],
    );
  });

  it("counts all while the database is away, keeps so much of it, and tells it under the same ids", async () => {
    const back = Promise.withResolvers<void>();
    const tried: string[] = [];
    let isAway = true;
    const { traffic, stored, close } = setUp(async ({ id }) => {
      tried.push(id);
      if (tried.length === 3) back.resolve();
      if (isAway) throw new AppError("unavailable", "away");
    });
    traffic.note(access());
    await back.promise;
    for (let n = 0; n < 30_000; n++) traffic.note(access({ guest: guest(n % 300) }));
    isAway = false;
    await close();
    const [first, second, ...more] = stored;
    assert.deepEqual(new Set(tried), new Set([first?.id, second?.id]));
    assert.deepEqual([first?.entries.length, second?.entries.length, more.length], [1, 20_000, 0]);
    assert.equal(
      second?.counts.reduce((sum, { requests }) => sum + requests, 0),
      30_000,
    );
  });

  it("gives up what cannot be stored, says how much that was, and goes on", async () => {
    let isBad = true;
    const { traffic, stored, errors, close } = setUp(async () => {
      if (isBad) throw new TypeError("no such uuid");
    });
    for (let n = 0; n < 150; n++) traffic.note(access());
    await waitFor(() => errors.length > 0, { what: "what the log says" });
    assert.deepEqual(errors, [{ event: "url.traffic_not_stored", requests: 150, error: "no such uuid" }]);
    isBad = false;
    traffic.note(access());
    await close();
    assert.equal(stored[0]?.entries.length, 1);
  });

  it("ends in time, and takes nothing then", async () => {
    const { traffic, stored } = setUp(async () => {
      throw new AppError("unavailable", "away");
    });
    traffic.note(access());
    await traffic.close({ deadlineMs: 20 });
    traffic.note(access());
    await traffic.close({ deadlineMs: 20 });
    assert.deepEqual([stored.length, traffic.totals.requests[2]], [0, 1]);
  });
});
