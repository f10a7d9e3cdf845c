import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createEventParser, type ServerSentEvent } from "./server-sent-events.ts";

function parse(...pieces: readonly (string | Uint8Array)[]): ServerSentEvent[] {
  const parser = createEventParser();
  return pieces.flatMap((piece) => parser.push(typeof piece === "string" ? Buffer.from(piece) : piece));
}

describe("createEventParser", () => {
  it("gives an event at the blank line that ends it", () => {
    assert.deepEqual(parse("event: log\nid: 7\ndata: {}\n"), []);
    assert.deepEqual(parse("event: log\nid: 7\ndata: {}\n", "\n"), [{ event: "log", data: "{}", id: "7" }]);
  });

  it("joins data lines, keeps the last id, and names an event without a name `message`", () => {
    assert.deepEqual(parse("id: 1\ndata: a\ndata: b\n\ndata:c\n\n"), [
      { event: "message", data: "a\nb", id: "1" },
      { event: "message", data: "c", id: "1" },
    ]);
  });

  it("ignores comments, unknown fields, events without data and a byte order mark", () => {
    assert.deepEqual(parse("\ufeff: hello\nretry: 5\nevent: log\n\nevent: end\ndata\n\n"), [
      { event: "end", data: "", id: "" },
    ]);
  });

  it("gives an event that ends in carriage returns without waiting for more", () => {
    assert.deepEqual(parse("data: a\r\r"), [{ event: "message", data: "a", id: "" }]);
    assert.equal(parse("data: a\r\n\r", "\ndata: b\r\n\r\n").length, 2);
  });

  it("drops an incomplete event at the end of the stream", () => {
    assert.deepEqual(parse("id: 1\ndata: whole\n\nid: 2\ndata: cut"), [{ event: "message", data: "whole", id: "1" }]);
  });

  it("refuses an event that would fill the memory", () => {
    const parser = createEventParser();
    const piece = Buffer.alloc(1024 * 1024, "x");
    assert.throws(() => {
      for (let n = 0; n < 20; n++) parser.push(piece);
    }, /too large/);
  });

  it("gives the same events however the bytes are cut", () => {
    const line = fc.oneof(
      fc.constantFrom(
        "",
        "",
        "data",
        "data:",
        "data: x",
        "id: 4",
        "id",
        "event: log",
        ": note",
        "retry: 1",
        "data: ü€😀",
      ),
      fc.string({ unit: "grapheme" }).map((text) => `data: ${text}`),
      fc.string(),
    );
    const stream = fc
      .array(fc.tuple(line, fc.constantFrom("\n", "\r", "\r\n")), { maxLength: 40 })
      .map((lines) => Buffer.from(lines.flat().join("")));
    fc.assert(
      fc.property(stream, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (bytes, lengths) => {
        const pieces: Uint8Array[] = [];
        for (let offset = 0, n = 0; offset < bytes.length; n++) {
          const length = lengths[n % lengths.length] ?? 1;
          pieces.push(bytes.subarray(offset, offset + length));
          offset += length;
        }
        assert.deepEqual(parse(...pieces), parse(bytes));
      }),
    );
  });
});
