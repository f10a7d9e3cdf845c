import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { systemClock } from "@mags/core";
import { newJobId } from "@mags/domain";
import { makeTempDir } from "@mags/test-kit";
import { openLogWriter } from "../../src/logs/log-writer.ts";

it("a disk that gets full in the middle of a write fails the output: nothing of that write is called durable", async () => {
  await using temp = await makeTempDir();
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=128k", "tmpfs", temp.path]);
  try {
    const jobId = newJobId();
    const path = join(temp.path, "log", "job.log");
    let durable = 0;
    const options = {
      maxBytes: 1 << 20,
      onLimit: () => {},
      onProgress: (progress: { readonly durable: boolean; readonly seq: number }) => {
        if (progress.durable) durable = progress.seq;
      },
    };
    const writer = await openLogWriter(path, jobId, { clock: systemClock }, options);
    for (let seq = 0; seq < 4; seq++) writer.append({ source: "stdout", seq, atMs: 0, bytes: randomBytes(50_000) });
    await assert.rejects(writer.end(), /full|ENOSPC/);
    await assert.rejects(writer.failed, /full|ENOSPC/);
    await writer[Symbol.asyncDispose]();
    const again = await openLogWriter(path, jobId, { clock: systemClock }, options);
    assert.ok(again.nextSeq < 3 && again.nextSeq >= durable, `${again.nextSeq} records, ${durable} durable`);
    await again[Symbol.asyncDispose]();
    await rm(path);
  } finally {
    execFileSync("umount", [temp.path]);
  }
});
