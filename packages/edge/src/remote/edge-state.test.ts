import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newJobId } from "@mags/domain";
import { createEdgeState } from "./edge-state.ts";

describe("createEdgeState", () => {
  it("knows guests to which URLs have led for as long as the edge is connected, and lets it reach them for 10 minutes", () => {
    let nowMs = 0;
    const edge = createEdgeState("192.0.2.1", { nowMs: () => nowMs });
    const [guest, other] = [newJobId(), newJobId()];
    edge.grantPort(guest, 80);
    nowMs = 600_000;
    edge.checkPort(guest, 80);
    assert.throws(() => edge.checkPort(guest, 81), /try again/);
    nowMs = 600_001;
    assert.throws(() => edge.checkPort(guest, 80), /try again/);
    assert.deepEqual([edge.wasGranted(guest), edge.wasGranted(other)], [true, false]);
  });

  it("forgets those to which URLs have not led for longest when there are very many", () => {
    const edge = createEdgeState("192.0.2.1", { nowMs: () => 0 });
    const guests = Array.from({ length: 20_001 }, newJobId);
    const [first, second] = guests as [(typeof guests)[0], (typeof guests)[0]];
    for (const guest of guests.slice(0, -1)) edge.grantPort(guest, 80);
    edge.grantPort(first, 81);
    edge.grantPort(guests.at(-1) ?? first, 80);
    assert.deepEqual([edge.wasGranted(first), edge.wasGranted(second)], [true, false]);
  });
});
