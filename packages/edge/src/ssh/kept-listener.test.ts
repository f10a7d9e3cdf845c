import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import type { GuestListener } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { keepListening } from "./kept-listener.ts";

/** A guest that sleeps when it is told to, and lets listen as `answers` say: an error, or that it may. */
function rig(answers: readonly (AppError | null)[]) {
  const given = new AbortController();
  const current: boolean[] = [];
  let fallAsleep = () => {};
  let asked = 0;
  const listener = (): GuestListener => ({
    ...{ port: 8_080, close: () => {}, next: async () => null },
    accept: () => Promise.reject(new Error("nothing comes in")),
  });
  const deps = {
    async again() {
      const answer = answers[asked++];
      if (answer) throw answer;
      return listener();
    },
    passOn: () =>
      new Promise<void>((resolve) => {
        fallAsleep = resolve;
      }),
    onChange: (now: GuestListener | null) => void current.push(now !== null),
    given: given.signal,
  };
  const kept = keepListening(listener(), deps, { firstMs: 1, mostMs: 2 });
  kept.catch(() => {}); // looked at later
  return { kept, given, current, asked: () => asked, fallAsleep: () => fallAsleep() };
}

describe("what is listened on for a client", () => {
  const refused = new AppError("connection_refused", "something listens there already");
  const away = new AppError("unavailable", "the server cannot be reached");

  it("is listened on again, however long the server is away, until it is given up", async () => {
    const { kept, given, current, asked, fallAsleep } = rig([...Array(20).fill(away), refused, null]);
    fallAsleep();
    await waitFor(() => current.length === 3, { what: "another listener" });
    assert.equal(asked(), 22);
    assert.deepEqual(current, [true, false, true]);
    given.abort(new Error("the client has left"));
    fallAsleep();
    await assert.rejects(kept, /the client has left/);
    assert.equal(current.at(-1), false);
  });

  it("is given up when the guest does not let it listen there any more", async () => {
    const { kept, asked, fallAsleep } = rig(Array(20).fill(refused));
    fallAsleep();
    await assert.rejects(kept, /something listens there already/);
    assert.equal(asked(), 6);
  });

  it("is given up at once when its client may not any more", async () => {
    const { kept, asked, fallAsleep } = rig(Array(20).fill(new AppError("forbidden", "the key was removed")));
    fallAsleep();
    await assert.rejects(kept, /the key was removed/);
    assert.equal(asked(), 1);
  });
});
