import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import fc from "fast-check";
import { createFieldWriter } from "../../src/agent/fields.ts";
import { encodeFrame } from "../../src/agent/frame.ts";
import type { StreamRecord } from "../../src/agent/index.ts";
import { FLAG, TAG, TYPE } from "../../src/agent/wire.ts";
import { createFakeGuest, type FakeGuest, FIRST_ID, helloFields, keptFields, NONCE } from "./fake-guest.ts";

let guests: FakeGuest[] = [];

function newGuest(): FakeGuest {
  const guest = createFakeGuest();
  guests.push(guest);
  return guest;
}

afterEach(async () => {
  for (const { connection } of guests) await connection[Symbol.asyncDispose]();
  guests = [];
});

/** A guest that has opened one stream; its window for input is 100 000 bytes, for output 64 KiB. */
async function withStream(options: { readonly keep?: boolean } = {}) {
  const guest = newGuest();
  await guest.greet();
  const records: StreamRecord[] = [];
  const stream = guest.connection.open({
    kind: "exec",
    argv: ["x"],
    stdin: true,
    window: 65_536,
    ...options,
    onRecord: (record) => records.push(record),
  });
  await guest.control(TYPE.open, FIRST_ID, (fields) => fields.u32(TAG.window, 100_000).u32(TAG.pid, 7), FLAG.reply);
  assert.deepEqual(await stream.opened, { pid: 7, port: null });
  return { guest, stream, records };
}

async function assertViolation(guest: FakeGuest, reason: RegExp): Promise<void> {
  await guest.settled();
  assert.equal(guest.violations.length, 1);
  assert.match(guest.violations[0] ?? "", reason);
  await assert.rejects(guest.connection.ping(), (error) => isAppError(error, "guest_protocol_violation"));
  assert.match(await guest.connection.closed, /broke the agent protocol/);
}

describe("a connection to a guest", () => {
  it("drops what the guest had written for an earlier host", async () => {
    const guest = newGuest();
    const fake = encodeFrame({
      type: TYPE.hello,
      flags: FLAG.reply,
      id: 0,
      payload: helloFields(createFieldWriter()).finish(),
    });
    // An old reply with another nonce, ours in the wrong place, a cut frame.
    const old = Buffer.from(fake);
    old.fill(0xee, 18, 34);
    for (const byte of Buffer.concat([old, NONCE, fake.subarray(0, 33)])) await guest.raw("control", Buffer.of(byte));
    await guest.raw("control", fake);
    assert.equal((await guest.connection.hello).build, "fake");
    assert.deepEqual(guest.violations, []);
  });

  it("rejects what is asked of a guest that refuses the session", async () => {
    const guest = newGuest();
    const ping = assert.rejects(guest.connection.ping(), /begin a session/);
    await guest.control(
      TYPE.hello,
      0,
      (fields) => fields.bytes(TAG.nonce, NONCE).u32(TAG.errno, 93).bytes(TAG.step, "HELLO"),
      FLAG.reply | FLAG.error,
    );
    await assert.rejects(guest.connection.hello, /begin a session.*EPROTONOSUPPORT/);
    await ping;
    assert.deepEqual(guest.violations, []);
  });

  it("sends requests in the order of the calls, also before the guest has answered HELLO", async () => {
    const guest = newGuest();
    const { connection } = guest;
    const calls = Promise.allSettled(
      connection.batch(() => [
        connection.attachDisk({ upper: "ext4", sizeBytes: 5 }),
        connection.ident({ realtimeNs: 1n, entropy: Buffer.alloc(32), hostname: "h", machineId: Buffer.alloc(16) }),
        connection.open({ kind: "exec", argv: ["true"] }).opened,
      ]),
    );
    await guest.settled();
    assert.deepEqual(
      guest.received.map(({ type, id }) => [type, id]),
      [
        [TYPE.diskAttach, 1],
        [TYPE.ident, 2],
        [TYPE.open, 3],
      ],
    );
    await guest.greet();
    await guest.control(TYPE.diskAttach, 1, (fields) => fields.bytes(TAG.steps, "mount 1.0"), FLAG.reply);
    await guest.control(TYPE.ident, 2, undefined, FLAG.reply);
    await guest.control(
      TYPE.open,
      3,
      (fields) => fields.u32(TAG.errno, 13).bytes(TAG.step, "exec"),
      FLAG.reply | FLAG.error,
    );
    const results = await calls;
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "fulfilled", "rejected"],
    );
  });

  it("gives up requests after their deadline or by their signal, and ignores late answers", async () => {
    const guest = newGuest();
    await guest.greet();
    const abort = new AbortController();
    const aborted = guest.connection.stats({ signal: abort.signal });
    abort.abort(new Error("not needed"));
    await assert.rejects(aborted, /not needed/);
    await assert.rejects(guest.connection.ping({ deadlineMs: 5 }), /did not answer within 5 ms/);
    await guest.control(TYPE.stats, 1, undefined, FLAG.reply);
    await guest.control(TYPE.ping, 2, undefined, FLAG.reply);
    assert.deepEqual(guest.violations, []);
    await assert.rejects(guest.connection.ping({ signal: AbortSignal.abort(new Error("before")) }), /before/);
    assert.equal(guest.received.length, 2);
  });

  it("closes a stream whose OPEN was given up", async () => {
    const guest = newGuest();
    await guest.greet();
    const stream = guest.connection.open({ kind: "exec", argv: ["x"] }, { deadlineMs: 5 });
    await assert.rejects(stream.opened, /within 5 ms/);
    await assert.rejects(stream.ended, /within 5 ms/);
    await guest.settled();
    assert.deepEqual(
      guest.received.map(({ type }) => type),
      [TYPE.open, TYPE.close],
    );
    await guest.data(FIRST_ID, {}, "late");
    assert.deepEqual(guest.violations, []);
  });

  it("has room for as many streams as ever when others were closed before the guest had opened them", async () => {
    const guest = newGuest();
    await guest.greet();
    const open = () => guest.connection.open({ kind: "exec", argv: ["x"] });
    const answer = (index: number) =>
      guest.control(
        TYPE.open,
        FIRST_ID + index,
        (fields) => fields.u32(TAG.window, 100_000).u32(TAG.pid, 7),
        FLAG.reply,
      );
    for (let index = 0; index < 300; index++) open().close();
    for (let index = 0; index < 300; index++) await answer(index);
    const stream = open();
    await answer(300);
    await stream.opened;
    assert.deepEqual(guest.violations, []);
  });

  it("rejects everything when it is closed or the guest's port is", async () => {
    const { guest, stream } = await withStream();
    const ping = guest.connection.ping();
    ping.catch(() => {});
    await guest.connection[Symbol.asyncDispose]();
    await guest.connection[Symbol.asyncDispose]();
    for (const promise of [
      ping,
      stream.ended,
      stream.write(Buffer.from("x")),
      guest.connection.open({ kind: "tarIn", cwd: "x" }).opened,
    ])
      await assert.rejects(promise, (error) => isAppError(error, "microvm_lost"));
    assert.deepEqual(guest.violations, []);
  });

  it("ends a stream only when every record it sent has come", async () => {
    const { guest, stream, records } = await withStream();
    let ended = false;
    void stream.ended.then(() => {
      ended = true;
    });
    await guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 2).u32(TAG.exitCode, 3));
    await guest.data(FIRST_ID, { seq: 0 }, "abc");
    assert.equal(ended, false);
    await guest.data(FIRST_ID, { seq: 1, offset: 3, channel: 2 }, "d");
    assert.equal((await stream.ended).exitCode, 3);
    assert.deepEqual(
      records.map(({ bytes }) => bytes.toString()),
      ["abc", "d"],
    );
    await guest.settled();
    assert.equal(guest.received.at(-1)?.type, TYPE.close);
  });

  it("acknowledges by itself what was taken, but leaves that to the owner of a kept stream", async () => {
    for (const keep of [false, true]) {
      const { guest, stream } = await withStream({ keep });
      const content = "x".repeat(20_000);
      await guest.data(FIRST_ID, { seq: 0 }, content);
      const acks = () => guest.received.filter(({ type }) => type === TYPE.ack).length;
      assert.equal(acks(), keep ? 0 : 1);
      stream.ack(1, content.length);
      stream.ack(1, content.length);
      await guest.settled();
      assert.equal(acks(), 1);
      await guest.data(FIRST_ID, { seq: 1, offset: 20_000 }, content);
      await guest.data(FIRST_ID, { seq: 2, offset: 40_000 }, content);
      await guest.data(FIRST_ID, { seq: 3, offset: 60_000 }, content);
      assert.deepEqual(guest.violations, []);
    }
  });

  it("keeps within the guest's window, and shares the port between streams", async () => {
    const { guest, stream } = await withStream();
    const other = guest.connection.open({ kind: "tarIn", cwd: "x" });
    await guest.control(TYPE.open, FIRST_ID + 1, (fields) => fields.u32(TAG.window, 1_000_000), FLAG.reply);
    void stream.write(Buffer.alloc(300_000)).catch(() => {});
    void other.write(Buffer.alloc(300_000)).catch(() => {});
    await guest.settled();
    await guest.settled();
    const sent = (id: number) =>
      guest.receivedBulk.filter((frame) => frame.id === id).reduce((sum, { payload }) => sum + payload.length - 24, 0);
    assert.equal(sent(FIRST_ID), 100_000);
    assert.equal(sent(FIRST_ID + 1), 300_000);
    await guest.control(TYPE.ack, FIRST_ID, (fields) => fields.u64(TAG.seq, 1).u64(TAG.offset, 65_512));
    await guest.settled();
    assert.equal(sent(FIRST_ID), 165_512);
  });

  it("survives a callback that throws: the stream is closed, the guest is not to blame", async () => {
    const guest = newGuest();
    await guest.greet();
    const stream = guest.connection.open({
      kind: "exec",
      argv: ["x"],
      onRecord: () => {
        throw new Error("a bug of ours");
      },
    });
    await guest.data(FIRST_ID, {}, "x");
    await assert.rejects(stream.ended, /closed/);
    assert.deepEqual(guest.violations, []);
  });

  describe("holds the guest to the protocol:", () => {
    const u64s = (seq: number, offset: number) => (fields: ReturnType<typeof createFieldWriter>) =>
      fields.u64(TAG.seq, seq).u64(TAG.offset, offset);
    const cases: [string, RegExp, (guest: FakeGuest) => Promise<unknown>][] = [
      ["a record that is missing", /record 0 is missing/, (guest) => guest.data(FIRST_ID, { seq: 1 }, "x")],
      ["a wrong offset", /wrong offset/, (guest) => guest.data(FIRST_ID, { offset: 1 }, "x")],
      ["an unknown channel", /channel 3/, (guest) => guest.data(FIRST_ID, { channel: 3 }, "x")],
      ["output on the channel of input", /channel 0/, (guest) => guest.data(FIRST_ID, { channel: 0 }, "x")],
      ["an empty record", /empty record/, (guest) => guest.data(FIRST_ID, {})],
      ["data of nobody's stream", /does not exist/, (guest) => guest.data(99, {}, "x")],
      ["a message of nobody's stream", /does not exist/, (guest) => guest.control(TYPE.ack, 99, u64s(0, 0))],
      ["an answer to nobody's request", /was not made/, (guest) => guest.control(TYPE.ping, 99, undefined, FLAG.reply)],
      ["a second HELLO", /second HELLO/, (guest) => guest.control(TYPE.hello, 0, helloFields, FLAG.reply)],
      ["a request to the host", /unknown type/, (guest) => guest.control(TYPE.ping, FIRST_ID)],
      [
        "an acknowledgement of what was not sent",
        /was not sent/,
        (guest) => guest.control(TYPE.ack, FIRST_ID, u64s(1, 1)),
      ],
      ["an ACK without numbers", /without SEQ/, (guest) => guest.control(TYPE.ack, FIRST_ID)],
      [
        "control messages on the bulk port",
        /type 2/,
        (guest) => guest.raw("bulk", encodeFrame({ type: TYPE.ping, flags: 0, id: 1, payload: Buffer.alloc(0) })),
      ],
      ["garbage", /magic/, (guest) => guest.raw("control", Buffer.from("no frame at all"))],
      ["an END without SENT", /SENT is missing/, (guest) => guest.control(TYPE.end, FIRST_ID)],
      [
        "a number of the wrong size",
        /4 bytes/,
        (guest) => guest.control(TYPE.end, FIRST_ID, (fields) => fields.u32(TAG.sent, 1)),
      ],
      [
        "a count beyond 2^53",
        /holds/,
        (guest) => guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 2n ** 53n)),
      ],
      [
        "a message that ends within a field",
        /ends/,
        (guest) =>
          guest.raw(
            "control",
            encodeFrame({ type: TYPE.end, flags: 0, id: FIRST_ID, payload: Buffer.from("0c00ff", "hex") }),
          ),
      ],
      [
        "two ends",
        /ended twice/,
        async (guest) => {
          await guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 1));
          await guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 1));
        },
      ],
      [
        "an end before what was sent",
        /before records/,
        async (guest) => {
          await guest.data(FIRST_ID, {}, "x");
          await guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 0));
        },
      ],
      [
        "a record after the end of its channel",
        /end of its channel/,
        async (guest) => {
          await guest.data(FIRST_ID, { fin: true }, "x");
          await guest.data(FIRST_ID, { seq: 1, offset: 1 }, "y");
        },
      ],
      [
        "a message cut by another",
        /another frame/,
        async (guest) => {
          await guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 1), FLAG.more);
          await guest.control(TYPE.ack, FIRST_ID, u64s(0, 0));
        },
      ],
      [
        "a message of more than 2 MiB",
        /a message of more than/,
        async (guest) => {
          const payload = Buffer.alloc(65_536);
          for (let n = 0; n < 33; n++)
            await guest.raw("control", encodeFrame({ type: TYPE.end, flags: FLAG.more, id: FIRST_ID, payload }));
        },
      ],
    ];
    cases.push(
      [
        "a message in slivers",
        /more than 64 frames/,
        async (guest) => {
          const sliver = encodeFrame({ type: TYPE.end, flags: FLAG.more, id: FIRST_ID, payload: Buffer.of(1) });
          await guest.raw("control", Buffer.concat(Array.from({ length: 65 }, () => sliver)));
        },
      ],
      [
        "a message of very many fields",
        /more than 512 fields/,
        (guest) =>
          guest.raw("control", encodeFrame({ type: TYPE.ack, flags: 0, id: FIRST_ID, payload: Buffer.alloc(6 * 513) })),
      ],
      [
        "an exit code that no process can have",
        /EXIT_CODE is 256/,
        (guest) => guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 0).u32(TAG.exitCode, 256)),
      ],
      [
        "a signal that does not exist",
        /EXIT_SIGNAL is 65/,
        (guest) => guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 0).u32(TAG.exitSignal, 65)),
      ],
    );
    for (const [name, reason, misbehave] of cases) {
      it(name, async () => {
        const { guest, stream } = await withStream({ keep: true });
        await misbehave(guest);
        await assertViolation(guest, reason);
        await assert.rejects(stream.ended);
        // Nothing that comes later matters.
        await misbehave(guest);
        assert.equal(guest.violations.length, 1);
      });
    }

    it("more bytes than the window allows", async () => {
      const { guest } = await withStream({ keep: true });
      await guest.data(FIRST_ID, {}, "x".repeat(40_000));
      await guest.data(FIRST_ID, { seq: 1, offset: 40_000 }, "x".repeat(25_537));
      await assertViolation(guest, /window/);
    });

    it("more records than may be on the way", async () => {
      const { guest } = await withStream({ keep: true });
      for (let seq = 0; seq < 8_194 && guest.violations.length === 0; seq++)
        await guest.data(FIRST_ID, { seq, offset: seq }, "x");
      // So many frames at once are more than the host reads at once.
      await waitFor(() => guest.violations.length > 0, { what: "the host to have read them" });
      await assertViolation(guest, /8192 records/);
    });

    for (const [name, fields] of [
      [
        "two kept streams with one id",
        (hello) => hello.bytes(TAG.stream, keptFields(9)).bytes(TAG.stream, keptFields(9)),
      ],
      [
        "a kept stream that contradicts itself",
        (hello) => hello.bytes(TAG.stream, keptFields(9, { sent: 1, acked: 2 })),
      ],
      ["an id of zero", (hello) => hello.bytes(TAG.stream, keptFields(0))],
    ] satisfies [string, Parameters<FakeGuest["greet"]>[0]][]) {
      it(name, async () => {
        const guest = newGuest();
        await guest.greet(fields);
        await assertViolation(guest, /id|contradicts/);
        await assert.rejects(guest.connection.hello);
      });
    }
  });

  it("shows nothing of a guest's text that acts on a terminal or cannot be stored", async () => {
    const guest = newGuest();
    await guest.greet();
    const stream = guest.connection.open({ kind: "exec", argv: ["x"] });
    const step = "ex\0ec\x1b[2J";
    await guest.control(
      TYPE.open,
      FIRST_ID,
      (fields) => fields.u32(TAG.errno, 2).bytes(TAG.step, step),
      FLAG.reply | FLAG.error,
    );
    await assert.rejects(stream.opened, /could not open a stream \(exec\): ex\ufffdec\ufffd\[2J: ENOENT/);
  });

  it("does not let a stream end that was not opened", async () => {
    const guest = newGuest();
    await guest.greet();
    const stream = guest.connection.open({ kind: "exec", argv: ["x"] });
    await guest.control(TYPE.end, FIRST_ID, (fields) => fields.u64(TAG.sent, 0));
    await assertViolation(guest, /before it was opened/);
    await assert.rejects(stream.opened);
    await assert.rejects(stream.ended);
  });

  it("takes up a kept stream whose end came before", async () => {
    const guest = newGuest();
    await guest.greet((hello) => hello.bytes(TAG.stream, keptFields(9, { sent: 2, acked: 1, ended: true })));
    await guest.control(TYPE.end, 9, (fields) => fields.u64(TAG.sent, 2).u32(TAG.exitCode, 4));
    const [kept] = guest.connection.kept;
    assert.ok(kept);
    const records: [number, string][] = [];
    const stream = guest.connection.resume(kept, {
      fromSeq: 1,
      onRecord: ({ seq, bytes }) => records.push([seq, bytes.toString()]),
    });
    assert.throws(() => guest.connection.resume(kept, { fromSeq: 1 }), /taken up already/);
    await guest.data(9, { seq: 1, offset: 10 }, "last");
    assert.equal((await stream.ended).exitCode, 4);
    assert.deepEqual(records, [[1, "last"]]);
    stream.close();
    await guest.settled();
    assert.equal(guest.received.at(-1)?.type, TYPE.close);
  });

  it("never does more than report a violation, whatever the guest sends", async () => {
    const anyFrame = fc.record(
      {
        type: fc.oneof(fc.nat(255), fc.constantFrom(...Object.values(TYPE))),
        flags: fc.constantFrom(0, 0, FLAG.reply, FLAG.reply | FLAG.error, FLAG.more, 7),
        id: fc.oneof(fc.nat(6), fc.nat(0xffff_ffff)),
        payload: fc
          .oneof(
            fc.uint8Array({ maxLength: 60 }),
            fc
              .array(fc.tuple(fc.nat(80), fc.uint8Array({ minLength: 0, maxLength: 9 })), { maxLength: 8 })
              .map((fields) =>
                fields.reduce((writer, [tag, value]) => writer.bytes(tag, value), createFieldWriter()).finish(),
              ),
          )
          .map((bytes) => Buffer.from(bytes)),
      },
      { noNullPrototype: true },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom("control", "bulk"), anyFrame), { maxLength: 20 }),
        async (frames) => {
          const { guest, stream } = await withStream();
          const calls = Promise.allSettled([
            guest.connection.stats(),
            guest.connection.stat({ path: "x" }),
            stream.ended,
            stream.write(Buffer.alloc(10)),
          ]);
          for (const [port, frame] of frames) await guest.raw(port, encodeFrame(frame));
          assert.ok(guest.violations.length <= 1);
          await guest.connection[Symbol.asyncDispose]();
          await calls;
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
