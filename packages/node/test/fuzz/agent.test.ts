import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeRun, heldMemory, seedFrom, waitFor } from "@mags/test-kit";
import { createFieldWriter } from "../../src/agent/fields.ts";
import { encodeFrame } from "../../src/agent/frame.ts";
import { FLAG, TAG, TYPE } from "../../src/agent/wire.ts";
import { createFakeGuest, keptFields } from "../agent/fake-guest.ts";
import { fuzzAgent } from "./agent-fuzz.ts";

const FRAMES = 100_000;
const SEED = seedFrom(process.env.FUZZ_SEED);
const MIB = 1024 ** 2;

describe("the host's side of the agent protocol", () => {
  it(`survives ${FRAMES} frames of guests that lie (FUZZ_SEED=${SEED}): each is served or ends with a reason, others are served, no memory is lost`, {
    timeout: 110_000,
  }, async (t) => {
    const run = await fuzzAgent({ seed: SEED, frames: FRAMES });
    t.diagnostic(describeRun("agent frames", run));
    assert.ok(run.frames >= FRAMES);
    assert.ok(run.reasons.size >= 20, `the lies were of few kinds: ${[...run.reasons]}`);
    assert.ok(run.violations < run.conversations, "some conversations went well");
    assert.ok(run.heldBytes < 64 * MIB, `${run.heldBytes} bytes more are held`);
  });

  it("slows a guest down that floods it with frames, and goes on serving it and the others", async (t) => {
    const flood = createFakeGuest();
    const other = createFakeGuest();
    await Promise.all([flood.greet(), other.greet()]);
    const stream = flood.connection.open({ kind: "exec", argv: ["x"] });
    await flood.control(TYPE.open, 1, (fields) => fields.u32(TAG.window, 1_000), FLAG.reply);
    await stream.opened;
    const payload = createFieldWriter().u64(TAG.seq, 0).u64(TAG.offset, 0).finish();
    const ack = encodeFrame({ type: TYPE.ack, flags: 0, id: 1, payload });
    const perChunk = 1_000;
    const chunk = Buffer.concat(Array.from({ length: perChunk }, () => ack));

    const startedAt = performance.now();
    const chunks = 20;
    let taken = 0;
    for (let n = 0; n < chunks; n++) {
      await flood.written("control", chunk);
      taken += perChunk;
      const elapsedMs = performance.now() - startedAt;
      // A burst, 16 frames a millisecond, and the chunks that are on their way.
      assert.ok(taken <= 2_048 + 17 * elapsedMs + 3 * perChunk, `${taken} frames in ${elapsedMs} ms`);
      const ping = other.connection.ping();
      await other.settled();
      await other.control(TYPE.ping, other.received.at(-1)?.id ?? 0, undefined, FLAG.reply);
      await ping;
    }
    t.diagnostic(`${taken} frames were taken in ${Math.round(performance.now() - startedAt)} ms`);
    assert.deepEqual(flood.violations, []);
    const served = flood.connection.ping();
    await flood.settled();
    await flood.written(
      "control",
      encodeFrame({ type: TYPE.ping, flags: FLAG.reply, id: flood.received.at(-1)?.id ?? 0, payload: Buffer.alloc(0) }),
    );
    await served;
    for (const guest of [flood, other]) await guest.connection[Symbol.asyncDispose]();
  });

  it("keeps little of the ends of streams that nobody has taken up, however long they are", async () => {
    const guest = createFakeGuest();
    const streams = 64;
    await guest.greet((hello) => {
      for (let n = 0; n < streams; n++) hello.bytes(TAG.stream, keptFields(1_000_000 + n));
      return hello;
    });
    const before = heldMemory();
    for (let n = 0; n < streams; n++) {
      const end = createFieldWriter()
        .u64(TAG.sent, 0)
        .u32(TAG.errno, 5)
        .bytes(TAG.message, Buffer.alloc(2_000_000, 0x61));
      const payload = end.finish();
      for (let at = 0; at < payload.length; at += 65_536) {
        const part = payload.subarray(at, at + 65_536);
        const flags = at + 65_536 < payload.length ? FLAG.more : 0;
        await guest.written("control", encodeFrame({ type: TYPE.end, flags, id: 1_000_000 + n, payload: part }));
      }
    }
    await guest.settled();
    assert.deepEqual(guest.violations, []);
    assert.equal(guest.connection.kept.length, streams);
    // The memory of buffers that nobody has any more is given back in the background.
    await waitFor(() => heldMemory() - before < 16 * MIB, { what: "memory to be given back" });
    await guest.connection[Symbol.asyncDispose]();
  });
});
