import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventText } from "./event-text.ts";
import {
  isEndEvent,
  lostOutcome,
  neverRan,
  neverStarted,
  outcomeOf,
  scriptEndOf,
  withdrawnOutcome,
} from "./job-end.ts";

const textOf = ({ event }: { readonly event: ReturnType<typeof outcomeOf>["event"] }) => eventText({ id: 1, ...event });

describe("outcomeOf", () => {
  it("completes a job whose script ended, whatever its exit code", () => {
    const ended = outcomeOf({ kind: "exited", exitCode: 7, timedOut: false, durationMs: 12, endedAtMs: 1000 });
    assert.deepEqual(ended.outcome, {
      ...{ status: "completed", exitCode: 7, errorMessage: null, scriptDurationMs: 12, completedAt: new Date(1000) },
    });
    assert.equal(textOf(ended), "script ended with exit code 7 after 12 ms");
  });

  it("tells a time-out and a stop from a plain end", () => {
    const timedOut = outcomeOf({ kind: "exited", exitCode: 124, timedOut: true, durationMs: 2000, endedAtMs: 0 });
    assert.equal(timedOut.event.name, "timed_out");
    assert.match(textOf(timedOut), /timeout passed/);
    const stopped = outcomeOf({ kind: "stopped", exitCode: null, durationMs: null, endedAtMs: 0 });
    assert.equal(stopped.outcome.status, "completed");
    assert.equal(textOf(stopped), "stopped");
  });

  it("ends a job as error with the node's words when it could not run", () => {
    const failed = outcomeOf({ kind: "failed", message: "the VM panicked", endedAtMs: 0 });
    assert.equal(failed.outcome.status, "error");
    assert.equal(failed.outcome.errorMessage, "the VM panicked");
    assert.equal(textOf(failed), "the VM panicked");
  });

  it("names every end so that it is known as one", () => {
    const now = new Date(0);
    for (const { event } of [lostOutcome(now), outcomeOf(neverStarted(now)), withdrawnOutcome(now)])
      assert.ok(isEndEvent(event.name), event.name);
  });
});

describe("scriptEndOf", () => {
  const of = (end: Parameters<typeof scriptEndOf>[0]) => {
    const ended = scriptEndOf(end);
    assert.ok(isEndEvent(ended.event.name));
    return { name: ended.event.name, exitCode: ended.end.exitCode, text: eventText({ id: 1, ...ended.event }) };
  };

  it("tells how the script of a job ended whose VM stays, always with an exit code", () => {
    assert.deepEqual(of({ kind: "exited", exitCode: 3, timedOut: false, durationMs: 5, endedAtMs: 0 }), {
      ...{ name: "script_ended", exitCode: 3, text: "script ended with exit code 3 after 5 ms; its VM stays" },
    });
    assert.equal(of({ kind: "exited", exitCode: 124, timedOut: true, durationMs: 5, endedAtMs: 0 }).name, "timed_out");
    assert.equal(of({ kind: "stopped", exitCode: null, durationMs: null, endedAtMs: 0 }).exitCode, 137);
    const lost = of({ kind: "lost", message: "QEMU was killed", endedAtMs: 0 });
    assert.deepEqual([lost.name, lost.exitCode], ["script_lost", 137]);
    assert.match(lost.text, /QEMU was killed/);
    assert.equal(of({ kind: "failed", message: "the disk is full", endedAtMs: 0 }).name, "script_lost");
  });
});

describe("neverRan", () => {
  it("knows the ends of jobs that may have had no VM", () => {
    assert.equal(neverRan(neverStarted(new Date(0))), true);
    assert.equal(neverRan({ kind: "failed", message: "x", endedAtMs: 0 }), true);
    assert.equal(neverRan({ kind: "stopped", exitCode: 143, durationMs: 4, endedAtMs: 0 }), false);
  });
});

describe("eventText", () => {
  it("shows events of the node by their message, or by their name", () => {
    const event = { id: 1, at: new Date(0), name: "pool_empty", data: {} };
    assert.equal(eventText(event), "pool empty");
    assert.equal(eventText({ ...event, data: { message: "no parked clone was left" } }), "no parked clone was left");
  });
});
