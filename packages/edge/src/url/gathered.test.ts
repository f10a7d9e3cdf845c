import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { gathered } from "./gathered.ts";

/** Bytes that tell their place. */
const bytes = (length: number) => Buffer.from(Array.from({ length }, (_, at) => at % 251));
const pushEach = (body: Readable, all: Buffer) => [...all].map((byte) => body.push(Buffer.of(byte)));

function piecesOf(body: Readable): Buffer[] {
  const pieces: Buffer[] = [];
  body.on("data", (piece) => pieces.push(piece));
  return pieces;
}

describe("a gathered body", () => {
  it("has what comes in one turn be one piece, passed on in that turn, before all that comes later", async () => {
    const body = gathered(new Readable({ read() {} }));
    const pieces = piecesOf(body);
    await nextTurn();
    pushEach(body, bytes(3000));
    await nextTurn();
    assert.deepEqual(pieces, [bytes(3000)]);
    body.push(Buffer.from("small"));
    body.push(Buffer.alloc(5000, "L"));
    assert.deepEqual(pieces.slice(1).map(String), ["small", "L".repeat(5000)]);
    body.push(Buffer.from("last"));
    body.push(null);
    await once(body, "end");
    assert.deepEqual(pieces.slice(3).map(String), ["last"]);
  });

  it("that nobody reads has few pieces, and takes no more bytes than another", async () => {
    const body = gathered(new Readable({ highWaterMark: 40_000, read() {} }));
    const all = bytes(40_000);
    const mores: boolean[] = [];
    for (let at = 0; at < all.length; at += 100) {
      mores.push(...pushEach(body, all.subarray(at, at + 100)));
      await nextTurn();
    }
    assert.equal(mores.indexOf(false), all.length - 1);
    body.push(null);
    const pieces = piecesOf(body);
    await once(body, "end");
    assert.deepEqual(Buffer.concat(pieces), all);
    assert.ok(pieces.length <= 4, `${pieces.length} pieces`);
  });

  it("asks for more when it is read again", async () => {
    const all = bytes(100_000);
    let at = 0;
    let isAsked = false;
    const ask = () => {
      isAsked = true;
    };
    const body = gathered(new Readable({ highWaterMark: 1000, read: ask }));
    const whole = buffer(body);
    while (at < all.length) {
      await nextTurn();
      assert.ok(isAsked, `not asked after ${at}`);
      isAsked = false;
      while (at < all.length && body.push(all.subarray(at, ++at)));
    }
    body.push(null);
    assert.deepEqual(await whole, all);
  });
});
