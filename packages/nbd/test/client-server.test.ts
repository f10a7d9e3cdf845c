import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { ALLOCATION, ALLOCATION_CONTEXT, allExtents, connectNbd, NbdError, type NbdExport } from "@mags/nbd";
import { collectAll, waitFor } from "@mags/test-kit";
import fc from "fast-check";
import { anyDisk, createDisk } from "./disks.ts";
import { DEADLINE_MS, serve } from "./harness.ts";

const contexts = [ALLOCATION_CONTEXT];
const MIB = 1024 ** 2;

import { createHeldExport } from "./held-export.ts";

describe("an NBD client of our server", () => {
  it("reads any part of any disk, several at once, over several connections", async () => {
    const share = fc.double({ min: 0, max: 0.999, noNaN: true });
    const reads = fc.array(fc.tuple(share, share), {
      minLength: 1,
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(anyDisk({ blockBytes: 512, maxBlocks: 40 }), reads, async ({ bytes, source }, parts) => {
        await using served = await serve(source);
        const clients = [await served.connect(), await served.connect()];
        assert.equal(clients[0]?.sizeBytes, bytes.length);
        const wanted = parts.map(([from, share]) => {
          const offset = Math.floor(from * bytes.length);
          return { offset, length: 1 + Math.floor(share * (bytes.length - offset)) };
        });
        const answers = await Promise.all(
          wanted.map(({ offset, length }, n) => clients[n % 2]?.read(offset, length) ?? Promise.reject()),
        );
        for (const [n, { offset, length }] of wanted.entries())
          assert.deepEqual(answers[n], bytes.subarray(offset, offset + length));
      }),
      { numRuns: 50 },
    );
  });

  it("learns what is kept and what is not", async () => {
    await fc.assert(
      fc.asyncProperty(anyDisk({ blockBytes: 512, maxBlocks: 40 }), async ({ bytes, source }) => {
        await using served = await serve(source);
        const client = await served.connect({ contexts });
        assert.deepEqual(client.contexts, contexts);
        const rebuilt = Buffer.alloc(bytes.length);
        let at = 0;
        let last: number | undefined;
        for await (const { offset, length, flags } of allExtents(client, { context: ALLOCATION_CONTEXT })) {
          assert.equal(offset, at);
          assert.notEqual(flags, last);
          assert.ok([0, ALLOCATION.hole | ALLOCATION.zero].includes(flags));
          if (flags === 0) (await client.read(offset, length)).copy(rebuilt, offset);
          at += length;
          last = flags;
        }
        assert.equal(at, bytes.length);
        assert.deepEqual(rebuilt, bytes);
      }),
      { numRuns: 50 },
    );
  });

  it("learns of more extents than fit into one answer", async () => {
    const bytes = Buffer.alloc(10_001);
    for (let at = 0; at < bytes.length; at += 2) bytes.writeUInt8(1, at);
    await using served = await serve(createDisk(bytes, 1).source);
    const client = await served.connect({ contexts });
    const extents = await collectAll(allExtents(client, { context: ALLOCATION_CONTEXT }));
    assert.equal(extents.length, bytes.length);
    const first = await client.blockStatus(1, 10_000, { context: ALLOCATION_CONTEXT });
    assert.deepEqual(first[0], { offset: 1, length: 1, flags: 3 });
    assert.equal(first.length, 4096);
  });

  it("gets answers as they are ready, whatever else is waited for", async () => {
    const { source, reads } = createHeldExport(MIB);
    await using served = await serve(source);
    const client = await served.connect();
    const order: number[] = [];
    const asked = [0, 1, 2, 3].map(async (n) => {
      const bytes = await client.read(n * 1000, 1000);
      order.push(n);
      assert.deepEqual(bytes, Buffer.alloc(1000, (n * 1000) % 251));
    });
    await waitFor(() => reads.length === 4, { what: "all reads to have begun" });
    for (const offset of [2000, 0, 3000, 1000]) {
      const count = order.length;
      reads.find((read) => read.offset === offset)?.end();
      await waitFor(() => order.length > count, { what: "the answer" });
    }
    await Promise.all(asked);
    assert.deepEqual(order, [2, 0, 3, 1]);
  });

  it("is told EIO of the one read that failed", async () => {
    const { source, reads } = createHeldExport(MIB);
    await using served = await serve(source);
    const client = await served.connect();
    const [good, bad] = [client.read(0, 100), client.read(100, 100)];
    await waitFor(() => reads.length === 2, { what: "both reads to have begun" });
    reads[1]?.end(new Error("its digest differs"));
    reads[0]?.end();
    await assert.rejects(
      bad,
      (error) => error instanceof NbdError && error.errno === "EIO" && !/digest/.test(error.message),
    );
    assert.equal((await good).length, 100);
  });

  it("is told EIO when the export gives too little, too much, or no extents", async () => {
    let give = Buffer.alloc(0);
    const source: NbdExport = { sizeBytes: MIB, read: async () => give, extents: () => [] };
    await using served = await serve(source);
    const client = await served.connect({ contexts });
    for (const length of [0, 99, 101]) {
      give = Buffer.alloc(length);
      await assert.rejects(client.read(0, 100), (error) => error instanceof NbdError && error.errno === "EIO");
    }
    await assert.rejects(client.blockStatus(0, 100, { context: ALLOCATION_CONTEXT }), /: EIO/);
    give = Buffer.alloc(100, 1);
    assert.deepEqual(await client.read(0, 100), give);
  });

  it("has no more requests under way than it is to have", async () => {
    const { source, reads } = createHeldExport(MIB);
    await using served = await serve(source);
    const client = await served.connect({ maxInFlight: 3 });
    const asked = Array.from({ length: 9 }, (_, n) => client.read(n * 10, 10));
    for (let ended = 0; ended < 9; ended++) {
      await waitFor(() => reads.length === Math.min(9, ended + 3), { what: "a read to have begun" });
      reads[ended]?.end();
    }
    await Promise.all(asked);
  });

  it("gives up waiting by its signal, and goes on", async () => {
    const { source, reads } = createHeldExport(MIB);
    await using served = await serve(source);
    const client = await served.connect({ maxInFlight: 1 });
    const waits = new AbortController();
    const settled = Promise.allSettled([client.read(0, 10, waits), client.read(10, 10, waits)]);
    await waitFor(() => reads.length === 1, { what: "the read to have begun" });
    waits.abort(new Error("enough"));
    assert.deepEqual(
      (await settled).map((read) => read.status === "rejected" && read.reason.message),
      ["enough", "enough"],
    );
    const next = client.read(20, 10);
    reads[0]?.end();
    await waitFor(() => reads.length === 2, { what: "the next read to have begun" });
    reads[1]?.end();
    assert.equal((await next).length, 10);
  });

  it("rejects everything when the connection ends, and the server's reads are told", async () => {
    const { source, reads } = createHeldExport(MIB);
    await using served = await serve(source);
    const client = await served.connect({ maxInFlight: 1 });
    const asked = Promise.allSettled([client.read(0, 10), client.read(10, 10)]);
    await waitFor(() => reads.length === 1, { what: "the read to have begun" });
    await served.server[Symbol.asyncDispose]();
    for (const read of [...(await asked), ...(await Promise.allSettled([client.read(0, 10)]))]) {
      assert.equal(read.status, "rejected");
      assert.ok(isAppError(read.reason, "unavailable"));
      assert.match(read.reason.message, /the connection to the NBD server ended/);
    }
    assert.equal(await client.closed, null);
    assert.ok(reads[0]?.signal.aborted);
  });

  it("says goodbye when what it asked for has come", async () => {
    const { source, reads } = createHeldExport(MIB);
    await using served = await serve(source);
    const client = await served.connect();
    const asked = client.read(0, 10);
    await waitFor(() => reads.length === 1, { what: "the read to have begun" });
    const left = client.disconnect();
    await assert.rejects(client.read(0, 10), /is being closed/);
    reads[0]?.end();
    assert.equal((await asked).length, 10);
    await left;
    await waitFor(() => served.server.connections === 0, { what: "the server to notice" });
  });

  it("refuses to ask for what cannot be", async () => {
    await using served = await serve(createDisk(Buffer.alloc(8 * MIB), 4096).source);
    const client = await served.connect();
    const odd: [number, number][] = [
      [-1, 10],
      [0, 0],
      [0.5, 10],
      [8 * MIB - 1, 2],
      [0, client.maxReadBytes + 1],
      [Number.NaN, 1],
    ];
    for (const [offset, length] of odd) await assert.rejects(client.read(offset, length), RangeError);
    await assert.rejects(client.blockStatus(0, 1, { context: ALLOCATION_CONTEXT }), /has no context/);
  });

  it("is told that there is no such export, and that nobody listens", async () => {
    await using served = await serve(createDisk(Buffer.alloc(4096), 512).source);
    await assert.rejects(served.connect({ exportName: "other" }), /there is no export "other"/);
    const signal = AbortSignal.timeout(DEADLINE_MS);
    await assert.rejects(
      connectNbd(`${served.path}.none`, { exportName: "disk", signal }),
      /cannot be reached: .*ENOENT/,
    );
    assert.deepEqual((await served.connect({ contexts: ["qemu:dirty-bitmap:b"] })).contexts, []);
  });
});
