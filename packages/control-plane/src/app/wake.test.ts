import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createWake } from "./wake.ts";

describe("createWake", () => {
  const { signal } = new AbortController();

  it("keeps a call that nobody waited for, once", async () => {
    const wake = createWake();
    wake.call();
    wake.call();
    await wake.wait({ signal });
    let woken = false;
    const second = wake.wait({ signal }).then(() => {
      woken = true;
    });
    await new Promise(setImmediate);
    assert.equal(woken, false);
    wake.call();
    await second;
  });

  it("rejects with the reason of the signal, and can be waited for again", async () => {
    const wake = createWake();
    const controller = new AbortController();
    const waiting = wake.wait({ signal: controller.signal });
    controller.abort(new Error("gone"));
    await assert.rejects(waiting, /gone/);
    wake.call();
    await wake.wait({ signal });
  });
});
