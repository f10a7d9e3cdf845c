import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { jobs } from "@mags/api-schema";
import { isAppError } from "@mags/core";
import { parsePart } from "./validation.ts";

function refusal(body: unknown): string {
  try {
    parsePart(jobs.SubmitJob, body, "body");
  } catch (error) {
    assert.ok(isAppError(error, "validation_failed"));
    return error.message;
  }
  return "accepted";
}

const job = { script: "echo", type: "inline" };

describe("parsePart", () => {
  it("names the field and what is wrong with it", () => {
    assert.equal(refusal({ type: "inline" }), "script: is required");
    assert.equal(refusal({ ...job, script: 1 }), "script: must be a string, not a number");
    assert.equal(refusal({ ...job, script: null }), "script: must be a string, not null");
    assert.equal(refusal({ ...job, script: ["a"] }), "script: must be a string, not an array");
    assert.equal(refusal({ ...job, vcpus: 1.5 }), "vcpus: must be an integer, not a fraction");
    assert.equal(refusal({ ...job, vcpus: 0 }), "vcpus: must be more than 0");
    assert.equal(refusal({ ...job, timeout: 1e9 }), "timeout: must be at most 31536000");
    assert.equal(refusal({ ...job, persistent: "yes" }), "persistent: must be a boolean, not a string");
    assert.match(refusal({ ...job, environment: { A: 1 } }), /^environment\.A: must be a string, not a number$/);
    assert.match(refusal({ ...job, environment: { "A-B": "" } }), /^environment\.A-B: names must be letters/);
  });

  it("names the whole where no field is to blame", () => {
    assert.equal(refusal(undefined), "body: is required");
    assert.equal(refusal([]), "body: must be an object, not an array");
  });

  it("tells of several faults at once", () => {
    assert.equal(
      refusal({ ...job, vcpus: 0, disk_gb: "2" }),
      "disk_gb: must be a number, not a string; vcpus: must be more than 0",
    );
  });
});
