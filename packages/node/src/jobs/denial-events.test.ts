import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MAX_DENIAL_EVENTS, planDenialEvents } from "./denial-events.ts";

const running = { eventsSoFar: 0, last: false };

describe("planDenialEvents", () => {
  it("tells a destination once, again when its count has grown tenfold, and its final count", () => {
    const told = new Map<string, number>();
    const look = (count: number, last = false) =>
      planDenialEvents(told, [{ destination: "10.1.2.3:80/tcp", count }], { ...running, last }).map(
        (event) => event.count,
      );
    assert.deepEqual(look(2), [2]);
    assert.deepEqual(look(2), []);
    assert.deepEqual(look(19), []);
    assert.deepEqual(look(20), [20]);
    assert.deepEqual(look(21, true), [21]);
    assert.deepEqual(look(21, true), []);
  });

  it("tells a scan of many destinations in few events, and the rest as a sum", () => {
    const counted = Array.from({ length: 128 }, (_, n) => ({ destination: `10.0.0.${n}:1/tcp`, count: 1 }));
    const denials = [...counted, { destination: "other destinations", count: 1_000 }];
    const told = new Map<string, number>();
    let events = 0;
    for (let look = 0; look < 20; look++)
      events += planDenialEvents(told, denials, { eventsSoFar: events, last: false }).length;
    assert.equal(events, MAX_DENIAL_EVENTS);
    const last = planDenialEvents(told, denials, { eventsSoFar: events, last: true });
    assert.deepEqual(last, [{ destination: "other destinations", count: 1_128 - MAX_DENIAL_EVENTS }]);
  });
});
