/** What the server answers to requests of every kind, byte for byte. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { u32, u64 } from "../src/protocol/options.ts";
import { COMMAND } from "../src/protocol/values.ts";
import { createDisk } from "./disks.ts";
import { type Served, serve } from "./harness.ts";
import { connectRaw, contextQuery, goName, type RawClient } from "./raw-client.ts";

const BLOCK = 512;
const SIZE = 4 * BLOCK;
const [GO, STRUCTURED, SET_CONTEXTS] = [7, 8, 10];
/** HAS_FLAGS, READ_ONLY, CAN_MULTI_CONN; with structured replies also DF. */
const [FLAGS, FLAGS_STRUCTURED] = [0x103, 0x183];
const [EPERM, EINVAL] = [1, 22];

/** A block of data, a hole of two, a block of data. */
const bytes = Buffer.concat([Buffer.alloc(BLOCK, 1), Buffer.alloc(2 * BLOCK), Buffer.alloc(BLOCK, 2)]);

let served: Served;
/** Extents that were wanted of the export. */
const wanted: number[] = [];
before(async () => {
  const { source } = createDisk(bytes, BLOCK);
  served = await serve({
    ...source,
    extents(offset, length, options) {
      wanted.push(options.mostExtents);
      return source.extents(offset, length, options);
    },
  });
});
after(() => served[Symbol.asyncDispose]());

async function greeted(flags = 3): Promise<RawClient> {
  const client = await connectRaw(served.path);
  client.write(u32(flags));
  return client;
}

describe("requests", () => {
  async function begun(options: { readonly structured: boolean; readonly contexts?: string[] }): Promise<RawClient> {
    const client = await greeted();
    if (options.structured) await client.option(STRUCTURED);
    const { contexts = [] } = options;
    if (contexts.length > 0) await client.option(SET_CONTEXTS, contextQuery("disk", ...contexts), 2);
    const replies = await client.option(GO, goName("disk"), 3);
    assert.equal(replies[0]?.data.readUInt16BE(10), options.structured ? FLAGS_STRUCTURED : FLAGS);
    return client;
  }

  it("reads come as chunks of data and holes", async () => {
    await using client = await begun({ structured: true });
    client.request({ type: COMMAND.read, offset: 100, length: SIZE - 200 });
    const expected = [
      { type: 1, done: false, payload: Buffer.concat([u64(100), Buffer.alloc(BLOCK - 100, 1)]) },
      { type: 2, done: false, payload: Buffer.concat([u64(BLOCK), u32(2 * BLOCK)]) },
      { type: 1, done: true, payload: Buffer.concat([u64(3 * BLOCK), Buffer.alloc(BLOCK - 100, 2)]) },
    ];
    for (const chunk of expected) assert.deepEqual(await client.reply(), { kind: "chunk", cookie: 7n, ...chunk });
  });

  it("reads that are not to be cut come as one chunk", async () => {
    await using client = await begun({ structured: true });
    client.request({ type: COMMAND.read, flags: 4, length: SIZE });
    const payload = Buffer.concat([u64(0), bytes]);
    assert.deepEqual(await client.reply(), { kind: "chunk", cookie: 7n, type: 1, done: true, payload });
  });

  it("block status tells holes, or one extent when one is asked for, and wants no more of the export", async () => {
    await using client = await begun({ structured: true, contexts: ["base:allocation"] });
    const data = (length: number) => [u32(length), u32(0)];
    const hole = (length: number) => [u32(length), u32(3)];
    for (const [flags, extents] of [
      [0, [...data(1), ...hole(2 * BLOCK), ...data(5)]],
      [8, data(1)],
    ] as const) {
      client.request({ type: COMMAND.blockStatus, flags, offset: BLOCK - 1, length: 2 * BLOCK + 6 });
      const payload = Buffer.concat([u32(1), ...extents]);
      assert.deepEqual(await client.reply(), { kind: "chunk", cookie: 7n, type: 5, done: true, payload });
    }
    assert.deepEqual(wanted, [4096, 1]);
  });

  const read = COMMAND.read;
  const refused: [string, number, { type: number; flags?: number; offset?: number; length?: number }][] = [
    ["a read beyond the end", EINVAL, { type: read, offset: SIZE - 1, length: 2 }],
    ["a read far beyond the end", EINVAL, { type: read, offset: 2 ** 60, length: 2 }],
    ["a read of nothing", EINVAL, { type: read, length: 0 }],
    ["a read of very much", EINVAL, { type: read, length: 4 * 1024 ** 2 + 1 }],
    ["a read with an odd flag", EINVAL, { type: read, flags: 1, length: 1 }],
    ["a status without a context", EINVAL, { type: COMMAND.blockStatus, length: 1 }],
    ["a flush", EINVAL, { type: 3 }],
    ["a request that there is not", EINVAL, { type: 99, length: 10 }],
    ["a trim", EPERM, { type: COMMAND.trim, length: BLOCK }],
    ["zeroes to write", EPERM, { type: COMMAND.writeZeroes, length: BLOCK }],
    ["another size", EPERM, { type: COMMAND.resize, length: BLOCK }],
  ];
  for (const [what, errno, request] of refused)
    it(`refuses ${what}, and goes on`, async () => {
      for (const structured of [false, true]) {
        await using client = await begun({ structured });
        client.request(request);
        const reply = await client.reply();
        assert.equal(structured ? reply.payload?.readUInt32BE() : reply.error, errno);
        if (structured) {
          assert.deepEqual([reply.type, reply.done], [0x8001, true]);
          assert.equal(reply.payload?.readUInt16BE(4), Number(reply.payload?.length) - 6);
        }
        client.request({ type: read, offset: 0, length: 1, cookie: 8n });
        assert.equal((await client.reply()).cookie, 8n);
      }
    });

  it("reads past what was to be written, and refuses it", async () => {
    await using client = await begun({ structured: false });
    client.request({ type: COMMAND.write, length: 300_000 });
    client.write(Buffer.alloc(300_000, 0x25));
    assert.equal((await client.reply()).error, EPERM);
    client.request({ type: read, length: 1, cookie: 8n });
    assert.deepEqual(await client.reply(), { kind: "simple", cookie: 8n, error: 0 });
  });

  it("a status takes the context of the export that was chosen only", async () => {
    await using client = await greeted();
    await client.option(STRUCTURED);
    await client.option(SET_CONTEXTS, contextQuery("disk", "base:allocation"), 2);
    await client.option(SET_CONTEXTS, contextQuery("other", "base:allocation"));
    await client.option(GO, goName("disk"), 3);
    client.request({ type: COMMAND.blockStatus, length: 1 });
    assert.equal((await client.reply()).payload?.readUInt32BE(), EINVAL);
  });

  it("a goodbye is the end", async () => {
    await using client = await begun({ structured: true });
    client.request({ type: COMMAND.disconnect });
    await client.closed;
  });

  it("lets go of a client whose requests are none", async () => {
    await using client = await begun({ structured: true });
    client.write(Buffer.alloc(28, 1));
    await client.closed;
    await waitFor(() => served.server.connections === 0, { what: "the server to let go" });
  });
});
