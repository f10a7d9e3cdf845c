/** What the server answers while clients of every kind negotiate, byte for byte. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { countedText, u16, u32, u64 } from "../src/protocol/options.ts";
import { COMMAND } from "../src/protocol/values.ts";
import { createDisk } from "./disks.ts";
import { type Served, serve } from "./harness.ts";
import { connectRaw, contextQuery, goName, type RawClient } from "./raw-client.ts";

const BLOCK = 512;
const SIZE = 4 * BLOCK;
const [ACK, SERVER, INFO, META_CONTEXT] = [1, 2, 3, 4];
const ERROR = 2 ** 31;
const [UNSUPPORTED, INVALID, UNKNOWN, TOO_BIG] = [ERROR + 1, ERROR + 3, ERROR + 6, ERROR + 9];
const [LIST, STARTTLS, INFO_OPTION, GO, STRUCTURED, LIST_CONTEXTS, SET_CONTEXTS] = [3, 5, 6, 7, 8, 9, 10];
/** HAS_FLAGS, READ_ONLY, CAN_MULTI_CONN. */
const FLAGS = 0x103;

/** A block of data, a hole of two, a block of data. */
const bytes = Buffer.concat([Buffer.alloc(BLOCK, 1), Buffer.alloc(2 * BLOCK), Buffer.alloc(BLOCK, 2)]);

let served: Served;
before(async () => {
  served = await serve(createDisk(bytes, BLOCK).source);
});
after(() => served[Symbol.asyncDispose]());

async function greeted(flags = 3): Promise<RawClient> {
  const client = await connectRaw(served.path);
  client.write(u32(flags));
  return client;
}

const typesOf = (replies: readonly { readonly type: number }[]) => replies.map(({ type }) => type);

describe("options", () => {
  it("LIST names the exports", async () => {
    await using client = await greeted();
    const replies = await client.option(LIST, undefined, 2);
    assert.deepEqual(typesOf(replies), [SERVER, ACK]);
    assert.deepEqual(replies[0]?.data, countedText("disk"));
    assert.deepEqual(typesOf(await client.option(LIST, Buffer.alloc(1))), [INVALID]);
  });

  it("INFO and GO tell size, flags and sizes of blocks", async () => {
    await using client = await greeted();
    for (const option of [INFO_OPTION, GO]) {
      const replies = await client.option(option, goName("disk"), 3);
      assert.deepEqual(typesOf(replies), [INFO, INFO, ACK]);
      assert.deepEqual(replies[0]?.data, Buffer.concat([u16(0), u64(SIZE), u16(FLAGS)]));
      assert.deepEqual(replies[1]?.data, Buffer.concat([u16(3), u32(1), u32(65_536), u32(4 * 1024 ** 2)]));
    }
    client.request({ type: COMMAND.read, length: 1 });
    assert.equal((await client.reply()).error, 0);
  });

  it("refuses exports that there are not, and goes on", async () => {
    await using client = await greeted();
    assert.deepEqual(typesOf(await client.option(GO, goName("other"))), [UNKNOWN]);
    assert.deepEqual(typesOf(await client.option(STRUCTURED)), [ACK]);
    assert.deepEqual(typesOf(await client.option(SET_CONTEXTS, contextQuery("other", "base:allocation"))), [UNKNOWN]);
    assert.deepEqual(typesOf(await client.option(GO, goName("disk"), 3)), [INFO, INFO, ACK]);
  });

  it("refuses STARTTLS and options that it does not know, and goes on", async () => {
    await using client = await greeted();
    for (const option of [STARTTLS, 4, 11, 4_000_000_000])
      assert.deepEqual(typesOf(await client.option(option, Buffer.alloc(10))), [UNSUPPORTED]);
    assert.deepEqual(typesOf(await client.option(LIST, undefined, 2)), [SERVER, ACK]);
  });

  it("refuses options that make no sense, and goes on", async () => {
    await using client = await greeted();
    const odd: [number, Buffer][] = [
      [GO, Buffer.alloc(3)],
      [GO, Buffer.concat([u32(100), Buffer.from("disk"), u16(0)])],
      [GO, Buffer.concat([goName("disk"), u16(3)])],
      [GO, Buffer.concat([countedText("disk"), u16(9)])],
      [GO, goName("x".repeat(5_000))],
      [STRUCTURED, Buffer.alloc(1)],
      [SET_CONTEXTS, contextQuery("disk", "base:allocation")],
      [LIST_CONTEXTS, Buffer.concat([countedText("disk"), u32(0xffffffff)])],
    ];
    for (const [option, data] of odd) assert.deepEqual(typesOf(await client.option(option, data)), [INVALID]);
    assert.deepEqual(typesOf(await client.option(LIST, Buffer.alloc(100_000))), [TOO_BIG]);
    assert.deepEqual(typesOf(await client.option(STRUCTURED)), [ACK]);
  });

  it("lists and sets contexts", async () => {
    await using client = await greeted();
    await client.option(STRUCTURED);
    const context = (id: number) => Buffer.concat([u32(id), Buffer.from("base:allocation")]);
    for (const queries of [[], ["base:"], ["base:allocation", "base:"]]) {
      const replies = await client.option(LIST_CONTEXTS, contextQuery("disk", ...queries), 2);
      assert.deepEqual(typesOf(replies), [META_CONTEXT, ACK]);
      assert.deepEqual(replies[0]?.data, context(0));
    }
    for (const queries of [[], ["base:"], ["base:other", "qemu:dirty-bitmap:x"]])
      assert.deepEqual(typesOf(await client.option(SET_CONTEXTS, contextQuery("disk", ...queries))), [ACK]);
    const replies = await client.option(SET_CONTEXTS, contextQuery("disk", "x:y", "base:allocation"), 2);
    assert.deepEqual(typesOf(replies), [META_CONTEXT, ACK]);
    assert.deepEqual(replies[0]?.data, context(1));
  });

  it("EXPORT_NAME goes on without a reply, with the zeroes of old clients", async () => {
    for (const [flags, zeroes] of [
      [0, 124],
      [1, 124],
      [3, 0],
    ] as const) {
      await using client = await greeted(flags);
      client.option(1, Buffer.from("disk"), 0);
      const start = await client.reader.take(10 + zeroes);
      assert.deepEqual(start, Buffer.concat([u64(SIZE), u16(FLAGS), Buffer.alloc(zeroes)]));
      client.request({ type: COMMAND.read, offset: BLOCK - 1, length: 2 });
      assert.deepEqual(await client.reply(), { kind: "simple", cookie: 7n, error: 0 });
      assert.deepEqual(await client.reader.take(2), Buffer.from([1, 0]));
    }
  });

  it("ABORT is acknowledged, and is the end", async () => {
    await using client = await greeted();
    assert.deepEqual(typesOf(await client.option(2)), [ACK]);
    await client.closed;
  });

  const ends: [string, (client: RawClient) => void][] = [
    ["flags that nobody offered", (client) => client.write(u32(4))],
    ["no option", (client) => client.write(Buffer.concat([u32(3), Buffer.alloc(16)]))],
    ["the name of an export that there is not", (client) => void client.write(Buffer.concat([u32(3), named("other")]))],
    ["a name that is too long", (client) => client.write(Buffer.concat([u32(3), named("x".repeat(20_000))]))],
  ];
  const named = (name: string) => Buffer.concat([Buffer.from("IHAVEOPT"), u32(1), u32(name.length), Buffer.from(name)]);
  for (const [what, send] of ends)
    it(`lets go of a client that sends ${what}`, async () => {
      await using client = await connectRaw(served.path);
      send(client);
      await client.closed;
    });

  it("lets go of a client that takes for ever to choose", async () => {
    await using impatient = await serve(createDisk(bytes, BLOCK).source, { handshakeMs: 50 });
    await using silent = await connectRaw(impatient.path);
    await using skipping = await connectRaw(impatient.path);
    skipping.write(Buffer.concat([u32(3), Buffer.from("IHAVEOPT"), u32(99), u32(0xffffffff)]));
    await Promise.all([silent.closed, skipping.closed]);
    await waitFor(() => impatient.server.connections === 0, { what: "the server to let go" });
  });
});
