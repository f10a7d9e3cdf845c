import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, firstFailure, messageOf } from "@mags/core";

describe("firstFailure", () => {
  it("is what failed first, not what failed while clearing up", async () => {
    const first = new AppError("microvm_lost", "the work failed");
    const failing = async () => {
      await using _outer = { [Symbol.asyncDispose]: () => Promise.reject(new Error("third")) };
      await using _inner = { [Symbol.asyncDispose]: () => Promise.reject(new Error("second")) };
      throw first;
    };
    const thrown = await failing().catch((error: unknown) => error);
    assert.ok(thrown instanceof SuppressedError);
    assert.equal(firstFailure(thrown), first);
    assert.equal(messageOf(thrown), "the work failed");
  });

  it("is any other error itself", () => {
    assert.equal(firstFailure("a text"), "a text");
    assert.equal(messageOf(new Error("one")), "one");
  });
});
