import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import { DatabaseError } from "pg";
import { isAway, whyAway } from "./away.ts";

function answered(code: string): DatabaseError {
  const error = new DatabaseError("", 0, "error");
  error.code = code;
  return error;
}

describe("isAway", () => {
  it("is true for lost connections and for servers that cannot answer now", () => {
    for (const code of ["57P01", "57P03", "08006", "53300", "57014", "40P01"])
      assert.equal(isAway(answered(code)), true, code);
    assert.equal(isAway(new Error("Connection terminated unexpectedly")), true);
    assert.equal(isAway(Object.assign(new Error("connect"), { code: "ECONNREFUSED" })), true);
  });

  it("is false for what a statement or this program did wrong", () => {
    for (const code of ["23505", "22P05", "42P01", "42601"]) assert.equal(isAway(answered(code)), false, code);
    for (const error of [new TypeError(), new AppError("unavailable", ""), "text", null])
      assert.equal(isAway(error), false);
  });
});

describe("whyAway", () => {
  it("names a full disk, and nothing of what else the server says", () => {
    assert.match(whyAway(answered("53100")), /disk is full/);
    for (const cause of [answered("57P01"), new Error("secret"), undefined])
      assert.equal(whyAway(cause), "the database does not answer now: try again");
  });
});
