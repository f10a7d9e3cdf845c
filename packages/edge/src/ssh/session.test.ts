import assert from "node:assert/strict";
import { EventEmitter, getEventListeners } from "node:events";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import type { AccountId, ExecStart, GuestId } from "@mags/domain";
import type { ServerChannel, Session } from "ssh2";
import { serveSession } from "./session.ts";

/** A session that was asked for a command, whose guest is not there yet. */
function begin() {
  const session = new EventEmitter() as EventEmitter & Session; // of which it hears events only
  const said: string[] = [];
  const channel = Object.assign(new PassThrough(), {
    stderr: { write: (text: string) => said.push(text) },
    exit: () => {},
  });
  const guest = Promise.withResolvers<GuestId>();
  const gone = Promise.withResolvers<void>();
  const parting = new AbortController();
  const started: ExecStart[] = [];
  let over = Promise.resolve();
  serveSession(session, {
    node: {
      async startExec(start) {
        started.push(start);
        throw new Error("it could be started");
      },
    },
    ...{ accountId: "a-1" as AccountId, connection: "192.0.2.1 1 192.0.2.2 22", parting: parting.signal },
    room: { wait: async () => {} },
    guest: () => guest.promise,
    onChannel: () => gone.promise,
    listenForAgent: async () => ({ path: "/run/mags/agent", close: () => {} }),
    track: (one) => {
      over = one;
    },
    onOver: () => {},
    onBegin: () => {},
    takeModes: () => undefined,
    onUnwanted: () => {},
  });
  session.emit("exec", () => channel as typeof channel & ServerChannel, undefined, { command: "true" });
  return { said, guest, gone, parting, started, over };
}

describe("serveSession", () => {
  it("leaves nothing at the gateway when there is no guest", async () => {
    const { said, guest, parting, over } = begin();
    guest.reject(new Error("there is no such job"));
    await over;
    assert.deepEqual(said, ["mags: there is no such job\n"]);
    assert.equal(getEventListeners(parting.signal, "abort").length, 0);
  });

  it("starts nothing for a client that has left before there was a guest", async () => {
    const { guest, gone, started, over } = begin();
    gone.resolve();
    await over;
    guest.resolve("j-1" as GuestId);
    await over;
    assert.deepEqual(started, []);
  });
});
