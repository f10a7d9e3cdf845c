import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newJobId, type SandboxId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createGuestEnds } from "./guest-ends.ts";

/** Stores that know each guest as a sandbox, and answer when they are told to. */
function rig() {
  const asked: (readonly SandboxId[])[] = [];
  let answer: (state: "live" | "ended") => void = () => {};
  const { untilOver } = createGuestEnds({
    store: { statuses: async () => new Map() },
    sandboxes: {
      knownAmong: (ids) =>
        new Promise((resolve) => {
          asked.push(ids);
          answer = (state) => resolve(new Map(ids.map((id) => [id, state])));
        }),
    },
    changes: { subscribe: () => () => {} },
  });
  return { untilOver, asked, answer: (state: "live" | "ended") => answer(state) };
}

describe("questions about the ends of guests", () => {
  const [first, second] = [newJobId(), newJobId()];
  const wanted = new AbortController();

  it("are put one at a time, those that wait together, and none that nobody wants to know any more", async () => {
    const { untilOver, asked, answer } = rig();
    const gaveUp = Array.from({ length: 5_000 }, async () => {
      const unwanted = new AbortController();
      const one = untilOver(newJobId(), { signal: unwanted.signal });
      unwanted.abort(new Error("nobody waits"));
      await assert.rejects(one, /nobody waits/);
    });
    const both = [first, second, second].map((guest) => untilOver(guest, { signal: wanted.signal }));
    await Promise.all(gaveUp);
    assert.equal(asked.length, 1);
    answer("live");
    await waitFor(() => asked.length === 2, { what: "another question" });
    assert.deepEqual(asked[1], [first, second]);
    answer("ended");
    await Promise.all(both);
    assert.equal(asked.length, 2);
  });
});
