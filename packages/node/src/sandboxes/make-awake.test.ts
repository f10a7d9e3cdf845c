import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { makeAwake } from "./make-awake.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

describe("makeAwake", () => {
  it("leaves one whose memory does not fit asleep, with it, when it may not be woken without", async () => {
    const deps = { store: { placeOf: () => ({}) }, runtimeDigest: "new" } as unknown as SandboxDeps;
    const record = { asleep: { memory: { runtimeDigest: "old" } } } as unknown as SandboxRecord;
    const over = () => assert.fail("what runs in it is not over");
    const woken = makeAwake(deps, {
      ...{ record: () => record, warmOnly: true, signal: new AbortController().signal },
      ...{ write: async () => over(), onFailure: over, onCold: over, onCommit: over },
    });
    await assert.rejects(woken, {
      code: "unavailable",
      message: /left asleep: its memory is of another version of QEMU/,
    });
  });
});
