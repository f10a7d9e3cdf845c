import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it, mock } from "node:test";
import type { AccountId, SshNote, SshUser } from "@mags/domain";
import { createOpenConnections } from "./open-connections.ts";

const USER: SshUser = {
  ...{ accountId: randomUUID() as AccountId, keyName: "own", fingerprint: "SHA256:x" },
  ...{ target: "box", jobId: null, refusal: null },
};

function rig() {
  const notes: SshNote[] = [];
  const open = createOpenConnections({ note: (note) => void notes.push(note) }, { graceMs: 1_000 });
  const note = (what: SshNote["what"], connection: string): SshNote => ({
    ...{ what, login: "box", clientAddress: "192.0.2.1", user: null },
    data: { connection, edge: "192.0.2.9" },
  });
  const ends = () => notes.map(({ what, data }) => [what, data.connection, data.reason]);
  return { open, note, notes, ends };
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

  it("are kept in a bounded amount of memory, however many edges there are and whatever those say", () => {
    const { open, note, notes } = rig();
    const long = "x".repeat(1_000);
    const names = Array.from({ length: 30 }, (_, index) => `edge ${index}`);
    for (const name of names) {
      const gone = open.arrived(name);
      for (let index = 0; index < 1_000; index++) {
        const user = { ...USER, keyName: long, target: long, fingerprint: long, refusal: long };
        const said = { ...note("signed_in", `${name} ${index}`), login: long, clientAddress: long, user };
        open.noted(name, { ...said, data: { ...said.data, more: long } });
      }
      open.noted(name, note("signed_in", long));
      gone();
    }
    open[Symbol.dispose]();
    assert.equal(notes.length, 20_000);
    const most = Math.max(...notes.map((one) => JSON.stringify(one).length));
    assert.ok(most < 1_200, `one of ${most} characters`);
  });

  it("make room by their ends", () => {
    const { open, note, notes } = rig();
    const gone = open.arrived("edge");
    for (let index = 0; index < 30_000; index++) {
      open.noted("edge", note("signed_in", `${index}`));
      open.noted("edge", note("ended", `${index}`));
    }
    open.noted("edge", note("signed_in", "last"));
    gone();
    open[Symbol.dispose]();
    assert.equal(notes.length, 1);
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
