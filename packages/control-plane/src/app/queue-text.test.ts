import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { neverFitsText, overdueText, refusal, waitText } from "./queue-text.ts";

const exceeded = { limit: "memoryMiB", taken: 2000, asked: 1024, most: 2048 } as const;

describe("what users read of the queue", () => {
  it("says what a job waits for, and how many come first", () => {
    assert.equal(waitText({ exceeded: null, ahead: 0 }), "the server has none free");
    assert.equal(
      waitText({ exceeded: null, ahead: 1 }),
      "the server has none free, and 1 of the account's jobs comes first",
    );
    assert.equal(
      waitText({ exceeded, ahead: 0 }),
      "jobs of this account have 2000 of 2048 MiB of memory, and it needs 1024",
    );
    assert.equal(
      waitText({ exceeded: { limit: "vms", taken: 3, asked: 1, most: 3 }, ahead: 2 }),
      "jobs of this account have 3 of 3 VMs, and 2 of the account's jobs come first",
    );
  });

  it("says what to do about a wait that was too long", () => {
    assert.match(overdueText({ exceeded, ahead: 0 }, 600_400), /^the job got no VM within 600 s: .*memory_mb raised$/);
    assert.match(overdueText({ exceeded: null, ahead: 0 }, 1_000), /none free; submit it again when/);
  });

  it("names limits as requests and configuration do", () => {
    assert.equal(
      neverFitsText({ limit: "diskGiB", taken: 0, asked: 9, most: 8 }),
      "disk_gb: jobs of an account may take at most 8 together, not 9: ask for less, or have limits.account.disk_gb raised",
    );
  });

  it("tells who is refused when to try again", () => {
    assert.deepEqual(
      [refusal("account", 1).code, refusal("server", 9).code],
      ["too_many_requests", "capacity_exhausted"],
    );
    assert.match(refusal("account", 1).message, /^not accepted: 1 job of this account waits/);
    assert.ok((refusal("server", 9).retryAfterSeconds ?? 0) > 0);
  });
});
