import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, type LogFields, type Logger } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import type { Link } from "./link.ts";
import { createOutbox } from "./outbox.ts";

/** A link that is there once `open` is resolved, and what was told over it. */
function createStage(ask: (asked: unknown) => void = () => {}) {
  const told: unknown[] = [];
  const logged: { readonly event: string; readonly fields: LogFields }[] = [];
  const open = Promise.withResolvers<void>();
  const link: Pick<Link, "connected" | "ask"> = {
    connected: () => open.promise,
    async ask(_call, asked) {
      ask(asked);
      told.push(asked);
      return {};
    },
  };
  const tell = (event: string, fields: LogFields = {}) => void logged.push({ event, fields });
  const log: Logger = { debug: tell, info: tell, warn: tell, error: tell, child: () => log };
  const outbox = createOutbox<number>(
    { link: link as Link, log, signal: new AbortController().signal },
    { call: "access", mostAtOnce: 3, mostWaiting: 5, toWire: (item) => item, event: "upstream.things" },
  );
  return { outbox, told, logged, open };
}

describe("createOutbox", () => {
  it("keeps what waits for the server in order and in bounds, and says how much it dropped", async () => {
    const { outbox, told, logged, open } = createStage();
    for (let n = 1; n <= 9; n++) outbox.add(n);
    open.resolve();
    await outbox.sent();
    assert.deepEqual(told, [
      [1, 2, 3],
      [4, 5],
    ]);
    assert.deepEqual(logged, [{ event: "upstream.things_dropped", fields: { count: 4 } }]);
    outbox.add(10);
    await outbox.sent();
    assert.deepEqual(told.at(-1), [10]);
  });

  it("tells again what did not arrive, and gives up what the server refuses", async () => {
    let attempts = 0;
    const { outbox, told, logged, open } = createStage((asked) => {
      if (++attempts === 1) throw new AppError("unavailable", "the connection to the server was lost");
      if (Array.isArray(asked) && asked.includes(1)) throw new AppError("validation_failed", "no such thing");
    });
    open.resolve();
    for (let n = 1; n <= 4; n++) outbox.add(n);
    await waitFor(() => told.length === 1, { what: "what was not refused" });
    assert.deepEqual([attempts, told], [3, [[4]]]);
    assert.deepEqual(logged, [{ event: "upstream.things_refused", fields: { count: 3, error: "no such thing" } }]);
  });
});
