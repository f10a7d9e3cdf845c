import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Caller } from "@mags/block-server";
import { untilAborted } from "@mags/core";
import type { AccountId, RunningSync, WorkspaceId } from "@mags/domain";
import { makeTempDir } from "@mags/test-kit";
import { lookAfterSync } from "./look-after-sync.ts";

const MIB = 1024 ** 2;
const RUNNING: RunningSync = { readBytes: 1, totalBytes: 2, sentBytes: 3 };
const target = {
  accountId: randomUUID() as AccountId,
  workspaceId: randomUUID() as WorkspaceId,
  name: "w",
  forkedFrom: null,
};

describe("lookAfterSync", () => {
  it("tells how far it is, and gives it up when the guest overwrites too much meanwhile", async () => {
    await using temp = await makeTempDir();
    const scratch = join(temp.path, "view");
    await writeFile(scratch, "");
    const told: (RunningSync | null)[] = [];
    const begun = Promise.withResolvers<void>();
    const blocks = { call: (async () => RUNNING) as unknown as Caller };
    const { signal } = new AbortController();
    const options = {
      ...{ target, scratch, mostScratchBytes: MIB, signal },
      onProgress(running: RunningSync | null) {
        told.push(running);
        begun.resolve();
      },
    };
    const sync = ({ signal: given }: { readonly signal: AbortSignal }) => untilAborted(new Promise(() => {}), given);
    const ended = assert.rejects(lookAfterSync({ blocks }, options, sync), {
      code: "unavailable",
      message: /overwrote more than 1 MiB/,
    });
    await begun.promise;
    await writeFile(scratch, Buffer.alloc(2 * MIB, 1));
    await ended;
    assert.deepEqual([told[0], told.at(-1)], [RUNNING, null]);
    assert.equal(await lookAfterSync({ blocks }, options, async () => "done"), "done");
  });
});
