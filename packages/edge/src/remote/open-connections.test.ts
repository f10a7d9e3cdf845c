import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import type { SshNote } from "@mags/domain";
import { createOpenConnections } from "./open-connections.ts";

function rig() {
  const notes: SshNote[] = [];
  const open = createOpenConnections({ note: (note) => void notes.push(note) }, { graceMs: 1_000 });
  const note = (what: SshNote["what"], connection: string): SshNote => ({
    ...{ what, login: "box", clientAddress: "192.0.2.1", user: null },
    data: { connection, edge: "192.0.2.9" },
  });
  const ends = () => notes.map(({ what, data }) => [what, data.connection, data.reason]);
  return { open, note, ends };
}

describe("connections whose edge is gone", () => {
  it("are ended in the log when it does not come back, each once, and no others", () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const { open, note, ends } = rig();
      const [gone, other] = [open.arrived("first"), open.arrived("other")];
      for (const connection of ["a", "b", "b"]) open.noted("first", note("signed_in", connection));
      open.noted("other", note("signed_in", "c"));
      open.noted("first", note("ended", "a"));
      gone();
      mock.timers.tick(999);
      assert.deepEqual(ends(), []);
      mock.timers.tick(1);
      assert.deepEqual(ends(), [["ended", "b", "gateway_lost"]]);
      other();
      open[Symbol.dispose]();
      assert.deepEqual(ends().slice(1), [["ended", "c", "gateway_lost"]]);
      mock.timers.tick(5_000);
      assert.equal(ends().length, 2);
    } finally {
      mock.timers.reset();
    }
  });

  it("go on when it comes back, also by a connection that overlaps, or when the server ends first", () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const { open, note, ends } = rig();
      const first = open.arrived("edge");
      open.noted("edge", note("signed_in", "a"));
      const second = open.arrived("edge");
      first();
      mock.timers.tick(5_000);
      second();
      mock.timers.tick(500);
      const third = open.arrived("edge");
      mock.timers.tick(5_000);
      open[Symbol.dispose]();
      third();
      mock.timers.tick(5_000);
      assert.deepEqual(ends(), []);
    } finally {
      mock.timers.reset();
    }
  });
});
