import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventText, withHeartbeat } from "./event-stream.ts";

describe("eventText", () => {
  it("writes one event, its data on one line", () => {
    assert.equal(
      eventText({ event: "log", id: "3", data: { message: "a\nb\r\u2028" } }),
      'id: 3\nevent: log\ndata: {"message":"a\\nb\\r\u2028"}\n\n',
    );
    assert.equal(eventText({ event: "end", data: {} }), "event: end\ndata: {}\n\n");
  });
});

describe("withHeartbeat", () => {
  it("sends comments while nothing comes, and passes everything on", async () => {
    const gate = Promise.withResolvers<void>();
    async function* source() {
      yield "a";
      await gate.promise;
      yield "b";
    }
    const got: string[] = [];
    for await (const text of withHeartbeat(source(), 1)) {
      got.push(text);
      if (got.length === 3) gate.resolve();
    }
    assert.deepEqual(got.slice(0, 3), ["a", ":\n\n", ":\n\n"]);
    assert.equal(got.at(-1), "b");
  });

  it("ends its source when it is ended", async () => {
    let ended = false;
    async function* source() {
      try {
        yield "a";
        yield "b";
      } finally {
        ended = true;
      }
    }
    for await (const _ of withHeartbeat(source(), 1000)) break;
    assert.equal(ended, true);
  });
});
