import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { untilDone } from "./until-done.ts";

const pauses = { firstMs: 1, longestMs: 4 };

describe("untilDone", () => {
  it("goes on until the work is done, and tells of each failure", async () => {
    const failures: unknown[] = [];
    let runs = 0;
    const work = async () => {
      if (++runs < 4) throw new Error(`failure ${runs}`);
    };
    const { signal } = new AbortController();
    await untilDone(work, { ...pauses, signal, onFailure: (error) => failures.push((error as Error).message) });
    assert.equal(runs, 4);
    assert.deepEqual(failures, ["failure 1", "failure 2", "failure 3"]);
  });

  it("ends with its signal, also in a pause", async () => {
    const ending = new AbortController();
    let runs = 0;
    const work = async () => {
      runs++;
      throw new Error("never");
    };
    const ended = untilDone(work, {
      ...{ firstMs: 60_000, longestMs: 60_000, signal: ending.signal },
      onFailure: () => ending.abort(),
    });
    await ended;
    await untilDone(work, { ...pauses, signal: ending.signal, onFailure: () => {} });
    assert.equal(runs, 1);
  });
});
