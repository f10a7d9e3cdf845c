import assert from "node:assert/strict";
import { it } from "node:test";
import { sleep } from "./wait.ts";

it("sleeps for longer than a timer can be set", async () => {
  const enough = new Error("enough");
  await assert.rejects(sleep(2 ** 31 + 5, { signal: AbortSignal.abort(enough) }), enough);
  const stop = new AbortController();
  const sleeping = sleep(2 ** 31 + 5, { signal: stop.signal });
  await sleep(50); // a timer that was set too long fires after one millisecond
  stop.abort(enough);
  await assert.rejects(sleeping, enough);
});
