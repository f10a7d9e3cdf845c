import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";
import { Secret } from "@mags/core";
import type { Connection } from "ssh2";
import { awaitSignIn } from "./sign-in.ts";

describe("awaitSignIn", () => {
  it("ends a connection on which the answer cannot be given, and nothing else", async () => {
    const client = new EventEmitter() as EventEmitter & Connection; // of which it hears events
    const ended = Promise.withResolvers<string>();
    void awaitSignIn(client, {
      directory: {
        hostKey: async () => new Secret("a key"),
        find: async () => null,
        guest: () => Promise.reject(new Error("nobody has signed in")),
        untilOver: () => new Promise(() => {}),
        note: () => {},
        watchPorts: () => () => {},
      },
      ...{
        port: 22,
        clientAddress: "192.0.2.1",
        attempts: 6,
        connection: "c",
        isRoomFor: () => true,
        end: ended.resolve,
        signal: new AbortController().signal,
      },
    });
    client.emit("authentication", {
      ...{ method: "none", username: "box" },
      reject() {
        throw new Error("the cipher is gone");
      },
    });
    assert.match(await ended.promise, /for a reason of the server's/);
  });
});
