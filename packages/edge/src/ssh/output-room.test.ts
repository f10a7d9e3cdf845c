import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { describe, it } from "node:test";
import type { Connection } from "ssh2";
import { createOutputRoom } from "./output-room.ts";

const MIB = 1024 * 1024;

function rig() {
  const held: { packets: number | undefined; unanswered: number } = { packets: undefined, unanswered: 0 };
  const client = new EventEmitter() as EventEmitter & Connection; // of which it hears events only
  const calls: string[] = [];
  const socket = Object.assign(new EventEmitter(), {
    ...{ writableLength: 0, destroyed: false },
    pause: () => calls.push("pause"),
    resume: () => calls.push("resume"),
    destroy: () => calls.push("destroy"),
  });
  const mended = { heldPackets: () => held.packets, unanswered: () => held.unanswered };
  const room = createOutputRoom(client, socket as typeof socket & Socket, mended);
  return { held, client, calls, socket, room };
}

describe("createOutputRoom", () => {
  it("waits while the client's connection is full, and while keys are exchanged", async () => {
    const { held, client, socket, room } = rig();
    socket.writableLength = MIB;
    const full = room.wait();
    socket.writableLength = 0;
    held.packets = 3;
    socket.emit("drain");
    let isDone = false;
    void full.then(() => {
      isDone = true;
    });
    await Promise.resolve();
    assert.equal(isDone, false);
    held.packets = undefined;
    client.emit("handshake");
    await full;
  });

  it("rejects when the connection closes", async () => {
    const { socket, room } = rig();
    socket.writableLength = MIB;
    const waiting = room.wait();
    socket.destroyed = true;
    socket.emit("close");
    await assert.rejects(waiting, /has closed/);
    await assert.rejects(room.wait(), /has closed/);
  });

  it("reads no more from who does not take answers, until he does", () => {
    const { calls, socket } = rig();
    socket.emit("data");
    assert.deepEqual(calls, []);
    socket.writableLength = 2 * MIB + 1;
    socket.emit("data");
    socket.emit("drain");
    assert.deepEqual(calls, ["pause", "resume"]);
  });

  it("ends with a client that has too many answers waiting", () => {
    const { held, calls, socket } = rig();
    held.packets = 6_000;
    held.unanswered = 4_001;
    socket.emit("data");
    assert.deepEqual(calls, ["destroy"]);
  });
});
