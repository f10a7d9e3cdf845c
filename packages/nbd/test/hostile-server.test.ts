/** A client of servers that say what no honest one does: each ends the connection with a reason, and nobody waits for ever. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { connectNbd, type NbdClient, NbdError } from "@mags/nbd";
import fc from "fast-check";
import { u16, u32, u64 } from "../src/protocol/options.ts";
import type { NbdRequest } from "../src/protocol/requests.ts";
import { DEADLINE_MS } from "./harness.ts";
import {
  chunk,
  data,
  error,
  hole,
  type Script,
  type ScriptedServer,
  startScriptedServer,
  status,
} from "./scripted-server.ts";

const [DATA, HOLE, STATUS, ERROR, ERROR_OFFSET] = [1, 2, 5, 0x8001, 0x8002];
const CONTEXTS = ["base:allocation", "qemu:dirty-bitmap:b"];
const [LENGTH, OFFSET] = [4096, 8192];

let server: ScriptedServer;
before(async () => {
  server = await startScriptedServer();
});
after(() => server[Symbol.asyncDispose]());

function connect(script: Script): Promise<NbdClient> {
  server.play(script);
  return connectNbd(server.path, {
    exportName: "disk",
    contexts: CONTEXTS,
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
}

describe("the connection ends, with the reason, when a server", () => {
  const read: [string, RegExp, (request: NbdRequest) => Buffer[]][] = [
    ["answers what was not asked", /an answer to what was not asked/, ({ cookie }) => [chunk(cookie + 1n, 0)]],
    ["sends no reply", /a reply without its magic number/, () => [Buffer.alloc(16)]],
    [
      "answers without structure",
      /an answer without structure/,
      ({ cookie }) => [Buffer.concat([u32(0x67446698), u32(0), u64(cookie)])],
    ],
    ["says done without bytes", /a read with gaps/, ({ cookie }) => [chunk(cookie, 0)]],
    ["leaves a gap", /a read with gaps/, ({ cookie }) => [chunk(cookie, DATA, data(OFFSET, LENGTH - 1))]],
    [
      "sends before the range",
      /a piece that was not asked for/,
      ({ cookie }) => [chunk(cookie, DATA, data(OFFSET - 1, 2))],
    ],
    [
      "sends beyond the range",
      /a piece that was not asked for/,
      ({ cookie }) => [chunk(cookie, DATA, data(OFFSET, LENGTH + 1))],
    ],
    ["sends far beyond", /a piece that was not asked for/, ({ cookie }) => [chunk(cookie, DATA, data(2 ** 60, 1))]],
    [
      "has a hole beyond the range",
      /a piece that was not asked for/,
      ({ cookie }) => [chunk(cookie, HOLE, hole(OFFSET, 2 ** 31))],
    ],
    ["has a hole of nothing", /a piece that was not asked for/, ({ cookie }) => [chunk(cookie, HOLE, hole(OFFSET, 0))]],
    ["has a long hole", /a hole of 13 bytes/, ({ cookie }) => [chunk(cookie, HOLE, Buffer.alloc(13))]],
    ["sends no bytes", /a piece without bytes/, ({ cookie }) => [chunk(cookie, DATA, u64(OFFSET))]],
    [
      "sends a piece twice",
      /a piece twice/,
      ({ cookie }) => [chunk(cookie, DATA, data(OFFSET, 100), false), chunk(cookie, HOLE, hole(OFFSET + 99, 10))],
    ],
    [
      "sends very small pieces",
      /a read in very many pieces/,
      ({ cookie }) => Array.from({ length: 20 }, (_, n) => chunk(cookie, DATA, data(OFFSET + n, 1), false)),
    ],
    ["has an empty chunk that is not the last", /an empty chunk/, ({ cookie }) => [chunk(cookie, 0, undefined, false)]],
    ["has something in an empty chunk", /an empty chunk/, ({ cookie }) => [chunk(cookie, 0, Buffer.alloc(1))]],
    [
      "sends the chunk of another request",
      /a chunk of type 5 in a read/,
      ({ cookie }) => [chunk(cookie, STATUS, status(1, [1, 0]))],
    ],
    ["sends a chunk of no known type", /a chunk of type 77 in a read/, ({ cookie }) => [chunk(cookie, 77)]],
    ["sends a short error", /an error of 5 bytes/, ({ cookie }) => [chunk(cookie, ERROR, Buffer.alloc(5))]],
    ["sends a long error", /an error of 5000 bytes/, ({ cookie }) => [chunk(cookie, ERROR, Buffer.alloc(5000))]],
    [
      "sends an error without a number",
      /an error without a number/,
      ({ cookie }) => [chunk(cookie, ERROR, error(0, ""))],
    ],
    [
      "sends an error cut short",
      /an error that is cut short/,
      ({ cookie }) => [chunk(cookie, ERROR, Buffer.concat([u32(5), u16(9)]))],
    ],
    [
      "sends an error with more",
      /more than belongs there/,
      ({ cookie }) => [chunk(cookie, ERROR, Buffer.alloc(8, 0).fill(5, 0, 4))],
    ],
    [
      "sends errors without end",
      /very many errors/,
      ({ cookie }) => Array(100).fill(chunk(cookie, ERROR, error(5, ""), false)),
    ],
  ];
  for (const [what, reason, answer] of read)
    it(`${what} (read)`, async () => {
      await using client = await connect({ onRequest: (request, say) => answer(request).forEach(say) });
      await assert.rejects(
        client.read(OFFSET, LENGTH),
        (error) => isAppError(error, "unavailable") && reason.test(error.message),
      );
      assert.match((await client.closed) ?? "", reason);
    });

  const blockStatus: [string, RegExp, (cookie: bigint) => Buffer[]][] = [
    ["leaves out a context", /a status without a context/, (cookie) => [chunk(cookie, STATUS, status(1, [LENGTH, 0]))]],
    [
      "tells a context twice",
      /a context that was not asked for, or twice/,
      (cookie) => Array(2).fill(chunk(cookie, STATUS, status(1, [LENGTH, 0]), false)),
    ],
    [
      "tells of another context",
      /a context that was not asked for/,
      (cookie) => [chunk(cookie, STATUS, status(3, [LENGTH, 0]))],
    ],
    ["tells of no extent", /a status of 4 bytes/, (cookie) => [chunk(cookie, STATUS, status(1))]],
    ["tells of half an extent", /a status of 8 bytes/, (cookie) => [chunk(cookie, STATUS, Buffer.alloc(8))]],
    ["tells of an extent of no bytes", /an extent of 0 bytes/, (cookie) => [chunk(cookie, STATUS, status(1, [0, 0]))]],
    ["tells of very much", /a status of \d+ bytes/, (cookie) => [chunk(cookie, STATUS, Buffer.alloc(2 ** 20 + 12))]],
    [
      "tells of what was not asked about",
      /extents beyond what was asked for/,
      (cookie) => [chunk(cookie, STATUS, status(1, [LENGTH, 0], [1, 0]))],
    ],
    [
      "sends a chunk of another request",
      /a chunk of type 1 in a status/,
      (cookie) => [chunk(cookie, DATA, data(OFFSET, 1))],
    ],
    [
      "succeeds without structure",
      /an answer without structure/,
      (cookie) => [Buffer.concat([u32(0x67446698), u32(0), u64(cookie)])],
    ],
  ];
  for (const [what, reason, answer] of blockStatus)
    it(`${what} (block status)`, async () => {
      await using client = await connect({ onRequest: ({ cookie }, say) => answer(cookie).forEach(say) });
      const asked = client.blockStatus(OFFSET, LENGTH, { context: "qemu:dirty-bitmap:b" });
      await assert.rejects(asked, (error) => isAppError(error, "unavailable") && reason.test(error.message));
      assert.match((await client.closed) ?? "", reason);
    });
});

describe("a server that is honest, if odd, is understood:", () => {
  it("a read in chunks of any order", async () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 7 });
    await fc.assert(
      fc.asyncProperty(cuts, fc.infiniteStream(fc.nat()), async (cutAt, choices) => {
        const edges = [0, ...cutAt.toSorted((a, b) => a - b), 8].map((edge) => edge * 512);
        const parts = edges.slice(1).map((end, n) => ({ start: edges[n] ?? 0, end, fill: n % 2 === 0 ? 0 : n + 1 }));
        const expected = Buffer.concat(parts.map(({ start, end, fill }) => Buffer.alloc(end - start, fill)));
        await using client = await connect({
          onRequest({ cookie, offset }, say) {
            for (const left = [...parts]; left.length > 0; ) {
              const [part] = left.splice((choices.next().value ?? 0) % left.length, 1);
              if (!part) return;
              const [at, length] = [offset + part.start, part.end - part.start];
              const payload = part.fill === 0 ? hole(at, length) : data(at, length, part.fill);
              say(chunk(cookie, part.fill === 0 ? HOLE : DATA, payload, false));
            }
            say(chunk(cookie, 0));
          },
        });
        assert.deepEqual(await client.read(OFFSET, 8 * 512), expected);
      }),
      { numRuns: 30 },
    );
  });

  it("an extent that goes on behind the range is cut", async () => {
    await using client = await connect({
      onRequest({ cookie }, say) {
        say(chunk(cookie, STATUS, status(2, [100, 1], [2 ** 32 - 1, 0]), false));
        say(chunk(cookie, STATUS, status(1, [LENGTH, 0])));
      },
    });
    assert.deepEqual(await client.blockStatus(OFFSET, LENGTH, { context: "qemu:dirty-bitmap:b" }), [
      { offset: OFFSET, length: 100, flags: 1 },
      { offset: OFFSET + 100, length: LENGTH - 100, flags: 0 },
    ]);
  });

  it("errors of every form, each for its own request", async () => {
    let answer: (cookie: bigint) => Buffer = () => Buffer.alloc(0);
    await using client = await connect({ onRequest: ({ cookie }, say) => say(answer(cookie)) });
    const forms: [string, RegExp, (cookie: bigint) => Buffer][] = [
      ["EIO", /4096 bytes at 8192: EIO, no\?\[2Jluck$/, (cookie) => chunk(cookie, ERROR, error(5, "no\u001b[2Jluck"))],
      ["ENOSPC", /: ENOSPC$/, (cookie) => Buffer.concat([u32(0x67446698), u32(28), u64(cookie)])],
      [
        "ESHUTDOWN",
        /: ESHUTDOWN$/,
        (cookie) => chunk(cookie, ERROR_OFFSET, Buffer.concat([error(108, ""), u64(OFFSET)])),
      ],
      ["EINVAL", /: EINVAL$/, (cookie) => chunk(cookie, ERROR, error(1234, ""))],
      ["EPERM", /: EPERM$/, (cookie) => chunk(cookie, 0x8fff, Buffer.concat([error(1, ""), Buffer.alloc(3)]))],
      [
        "EOVERFLOW",
        /: EOVERFLOW$/,
        (cookie) =>
          Buffer.concat([chunk(cookie, ERROR, error(75, ""), false), chunk(cookie, DATA, data(OFFSET, LENGTH))]),
      ],
    ];
    for (const [errno, message, form] of forms) {
      answer = form;
      await assert.rejects(
        client.read(OFFSET, LENGTH),
        (error) => error instanceof NbdError && error.errno === errno && message.test(error.message),
      );
    }
    answer = (cookie) => chunk(cookie, DATA, data(OFFSET, LENGTH));
    assert.deepEqual(await client.read(OFFSET, LENGTH), Buffer.alloc(LENGTH, 1));
  });
});
