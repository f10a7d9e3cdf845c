import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { describe, it } from "node:test";
import { BrokenPipe, createOutput } from "./output.ts";

/** A stream of 4 bytes of room whose writes end when they are told to. */
function slowStream() {
  const pending: ((error?: Error) => void)[] = [];
  const stream = new Writable({ highWaterMark: 4, write: (_chunk, _encoding, done) => pending.push(done) });
  return { stream, settle: (error?: Error) => pending.shift()?.(error) };
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const waiting = Symbol();
  const turn = new Promise((resolve) => setImmediate(() => resolve(waiting)));
  return (await Promise.race([promise, turn])) !== waiting;
}

describe("createOutput", () => {
  it("goes on at once while there is room, and waits for it otherwise", async () => {
    const { stream, settle } = slowStream();
    const output = createOutput(stream);
    await output.write("abc");
    const second = output.write("def");
    assert.equal(await isSettled(second), false);
    settle();
    settle();
    await second;
  });

  it("flush waits for everything", async () => {
    const { stream, settle } = slowStream();
    const output = createOutput(stream);
    await output.flush();
    await output.write("abc");
    const flushed = output.flush();
    assert.equal(await isSettled(flushed), false);
    settle();
    await flushed;
  });

  it("tells a reader that left from other failures, in writes under way and later ones", async () => {
    for (const [code, expected] of [
      ["EPIPE", BrokenPipe],
      ["ENOSPC", /cannot write the output: full/],
    ] as const) {
      const { stream, settle } = slowStream();
      const output = createOutput(stream);
      const write = output.write("abcdef");
      const flush = output.flush();
      settle(Object.assign(new Error("full"), { code }));
      await Promise.all([write, flush].map((promise) => assert.rejects(promise, expected)));
      await assert.rejects(output.write("x"), expected);
    }
  });
});
