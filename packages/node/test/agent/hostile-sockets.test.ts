/** Guests that lie about their sockets, or do not answer. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { type GuestAddress, newJobId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { createFieldWriter, type FieldWriter } from "../../src/agent/fields.ts";
import { FLAG, TAG, TYPE } from "../../src/agent/wire.ts";
import { createGuests, guestOf } from "../../src/guests/guests.ts";
import { createGuestSockets } from "../../src/guests/sockets.ts";
import { createFakeGuest, type FakeGuest, FIRST_ID } from "./fake-guest.ts";

type Fields = (writer: FieldWriter) => FieldWriter;

describe("sockets of a guest that lies", () => {
  let guest: FakeGuest;
  const never = new AbortController().signal;
  const local = { host: "127.0.0.1", port: 0 };

  afterEach(() => guest.connection[Symbol.asyncDispose]());

  async function begin() {
    guest = createFakeGuest();
    await guest.greet();
    const id = newJobId();
    const guests = createGuests();
    guests.add(id, guestOf({ id, agent: guest.connection, gone: never }));
    const sockets = createGuestSockets(guests, { dialMs: 50 });
    return {
      connect: (to: GuestAddress) => sockets.connect(id, to, { signal: never }),
      listen: (at: GuestAddress) => sockets.listen(id, at, { signal: never }),
    };
  }

  const opens = () => guest.received.filter(({ type }) => type === TYPE.open);

  /** Answers the first OPEN, or a later one. */
  async function answer(fields: Fields, index = 0): Promise<void> {
    await waitFor(() => opens().length > index, { what: "an OPEN", intervalMs: 1 });
    await guest.control(TYPE.open, FIRST_ID + index, (writer) => fields(writer.u32(TAG.window, 100_000)), FLAG.reply);
  }

  async function listening() {
    const { listen } = await begin();
    const asked = listen(local);
    await answer((fields) => fields.u16(TAG.port, 8_000));
    const listener = await asked;
    let [seq, offset] = [0, 0];
    return {
      listener,
      /** That a connection came in. */
      async tell(connection: number, fields: Fields = (writer) => writer): Promise<void> {
        const record = fields(createFieldWriter().u32(TAG.connection, connection)).finish();
        await guest.data(FIRST_ID, { seq: seq++, offset }, record);
        offset += record.length;
      },
    };
  }

  for (const [what, at, fields] of [
    ["no port", local, (writer) => writer],
    ["port 0", local, (writer) => writer.u16(TAG.port, 0)],
    ["another port", { host: "127.0.0.1", port: 80 }, (writer) => writer.u16(TAG.port, 81)],
    ["a port of a file", { path: "/s" }, (writer) => writer.u16(TAG.port, 81)],
  ] satisfies [string, GuestAddress, Fields][])
    it(`end it when it listens on ${what}`, async () => {
      const { listen } = await begin();
      const asked = listen(at);
      asked.catch(() => {});
      await answer(fields);
      assert.match(String(guest.violations), /another port/);
      await assert.rejects(asked, { code: "guest_protocol_violation" });
    });

  for (const [what, fields] of [
    ["a name", (writer) => writer.bytes(TAG.address, "localhost").u16(TAG.port, 1)],
    ["an address with a zone", (writer) => writer.bytes(TAG.address, "fe80::1%x").u16(TAG.port, 1)],
    ["a very long text", (writer) => writer.bytes(TAG.address, `::1%${"x".repeat(8_000)}`).u16(TAG.port, 1)],
    ["no port", (writer) => writer.bytes(TAG.address, "127.0.0.1")],
    ["no address", (writer) => writer.u16(TAG.port, 1)],
  ] satisfies [string, Fields][])
    it(`end it when a connection came from ${what}`, async () => {
      const { listener, tell } = await listening();
      await tell(1, fields);
      assert.match(String(guest.violations), /no address and port/);
      await assert.rejects(listener.next(), { code: "guest_protocol_violation" });
    });

  it("end it when more connections wait than may, but not when they were taken", async () => {
    const { listener, tell } = await listening();
    for (let connection = 1; connection <= 16; connection++) await tell(connection);
    assert.deepEqual(await listener.next(), { connection: 1, peer: null });
    const accepted = listener.accept(1);
    accepted.catch(() => {});
    await assert.rejects(listener.accept(1), { code: "guest_failed" });
    await tell(17);
    assert.deepEqual(guest.violations, []);
    await tell(18);
    assert.match(String(guest.violations), /more than 16 connections/);
    await assert.rejects(accepted, { code: "guest_protocol_violation" });
  });

  it("end it when a connection comes in twice", async () => {
    const { tell } = await listening();
    await tell(1);
    await tell(1);
    assert.match(String(guest.violations), /twice/);
  });

  it("end it when it has more streams than it may", async () => {
    const { listen } = await begin();
    const all = Array.from({ length: 257 }, () => listen(local));
    for (const one of all) one.catch(() => {});
    for (let index = 0; index < 256; index++) await answer((writer) => writer.u16(TAG.port, 8_000), index);
    assert.deepEqual(guest.violations, []);
    // One that is closed makes room.
    (await all[0])?.close();
    await answer((writer) => writer.u16(TAG.port, 8_000), 256);
    assert.deepEqual(guest.violations, []);
    listen(local).catch(() => {});
    await waitFor(() => opens().length === 258, { what: "one more" });
    await answer((writer) => writer.u16(TAG.port, 8_000), 257);
    assert.match(String(guest.violations), /more than 256 streams/);
  });

  it("are given up when it does not answer, and the next address is tried", async () => {
    const { connect } = await begin();
    const asked = connect({ host: "localhost", port: 80 });
    await assert.rejects(asked, {
      code: "connection_refused",
      message: "cannot connect to localhost:80: it does not answer the guest",
    });
    assert.deepEqual(
      guest.received.map(({ type }) => type),
      [TYPE.open, TYPE.close, TYPE.open, TYPE.close],
    );
  });

  it("leave nothing behind when what is asked for cannot be", async () => {
    await begin();
    assert.throws(() => guest.connection.open({ kind: "tcp", port: 70_000 }), RangeError);
    await guest.settled();
    assert.deepEqual(guest.received, []);
  });
});
