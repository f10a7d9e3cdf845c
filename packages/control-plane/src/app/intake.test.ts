import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { createIntake } from "./intake.ts";

describe("createIntake", () => {
  it("lets finish what is under way when it closes, and refuses what comes later", async () => {
    const intake = createIntake();
    const stored = Promise.withResolvers<string>();
    const order: string[] = [];
    const taken = intake.take(() => stored.promise).then((what) => order.push(what));
    const failed = intake.take(() => Promise.reject(new Error("refused")));
    await assert.rejects(failed, /refused/);
    const closed = intake.close().then(() => order.push("closed"));
    await assert.rejects(
      intake.take(async () => {}),
      (error) => isAppError(error, "unavailable"),
    );
    stored.resolve("taken");
    await Promise.all([taken, closed]);
    assert.deepEqual(order, ["taken", "closed"]);
  });
});
