import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import { GuestStream } from "./guest-stream.ts";

describe("GuestStream", () => {
  it("is reset, whatever the connection was lost by, which is kept as the cause", async () => {
    const cause = new AppError("unavailable", "the connection to the server was lost");
    const lost = async () => Promise.reject(cause);
    const never = () => new Promise<never>(() => {});
    const reading = new GuestStream({ read: lost, write: never, end: never, close() {} });
    reading.resume();
    const writing = new GuestStream({ read: never, write: lost, end: never, close() {} });
    writing.write("x");
    for (const [error] of await Promise.all([once(reading, "error"), once(writing, "error")])) {
      assert.deepEqual([error.code, error.cause], ["ECONNRESET", cause]);
    }
  });
});
