import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Clock, silentLogger, systemClock } from "@mags/core";
import { type JobEnd, type JobId, type JobStart, NO_UPLOADS, newJobId } from "@mags/domain";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { NodeConfig } from "../../src/config.ts";
import type { Node } from "../../src/node.ts";
import { openNode } from "../../src/open-node.ts";
import { removeNode } from "../../src/remove-node.ts";
import { ARTIFACTS, blockServerOf } from "./support.ts";

const HOUR_MS = 3_600_000;
const SIZE = { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 2, egress: "filtered" } as const;
const CONFIG = NodeConfig.parse({
  default_memory_mb: SIZE.memoryMiB,
  memory_overcommit: 0.1,
  max_memory_mb: 1_000_000,
  uid_base: 1_945_000_000,
  pool: { min_idle: 2, max_idle: 2, slot_share: 0 },
  network: { prefix: "tck", uplink_range: "10.251.0.0/24" },
});

let temp: TempDir;
let node: Node;
let shiftMs = 0;
/** The wall clock of this machine is not only ours to step. */
const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + shiftMs) };
const options = () => ({ dataDirectory: temp.path, artifactsFile: ARTIFACTS, config: CONFIG });

before(async () => {
  temp = await makeTempDir();
  node = await openNode(
    { uploads: NO_UPLOADS, clock, log: silentLogger },
    { ...options(), blockServer: blockServerOf(temp.path) },
    {
      signal: new AbortController().signal,
    },
  );
});
after(async () => {
  for (const { jobId } of node?.observe() ?? []) await node.stop(jobId);
  await node?.close();
  await removeNode(options());
  await temp[Symbol.asyncDispose]();
});

function start(script: string, timeoutMs: number | null, memoryMiB: number = SIZE.memoryMiB): JobId {
  const jobId = newJobId();
  const job: JobStart = {
    jobId,
    size: { ...SIZE, memoryMiB },
    command: { kind: "inline", script },
    environment: {},
    timeoutMs,
    sandbox: null,
    keepsAwake: false,
    fileIds: [],
  };
  node.start(job);
  return jobId;
}

const observed = (jobId: JobId) => node.observe().find((job) => job.jobId === jobId);
const untilRunning = (jobId: JobId) =>
  waitFor(() => observed(jobId)?.state === "running", { what: "the script to run", deadlineMs: 60_000 });

/** Its end, whose time is the wall clock's and whose duration no step can touch. */
async function endOf(jobId: JobId): Promise<JobEnd> {
  return waitFor(() => observed(jobId)?.end, { what: "the end", deadlineMs: 60_000 });
}

function assertExited(end: JobEnd, expected: { code: number; timedOut: boolean; fromMs: number; toMs: number }): void {
  assert.ok(end.kind === "exited", JSON.stringify(end));
  assert.deepEqual([end.exitCode, end.timedOut], [expected.code, expected.timedOut]);
  assert.ok(end.durationMs >= expected.fromMs && end.durationMs < expected.toMs, `${end.durationMs} ms`);
}

describe("a wall clock that is stepped by an hour", () => {
  for (const stepMs of [HOUR_MS, -2 * HOUR_MS])
    it(`(${stepMs / HOUR_MS} h) ends no script before its time or after it, drops no parked clone and no job that waits; guests have the new time`, async () => {
      await waitFor(() => node.poolStatus().idle === 2, { what: "parked clones", deadlineMs: 60_000 });
      const most = node.describe().maxMemoryMiB - 2 * SIZE.memoryMiB;
      const holding = start("sleep 600", null, most);
      await untilRunning(holding);
      const [within, beyond] = [start("sleep 5; exit 3", 60_000), start("sleep 60", 5_000)];
      for (const jobId of [within, beyond]) await untilRunning(jobId);
      const waiting = start("exit 5", 60_000, most);
      assert.equal(observed(waiting)?.state, "queued");
      const parked = node.poolStatus().idle;

      shiftMs += stepMs;
      assertExited(await endOf(beyond), { code: 124, timedOut: true, fromMs: 4_900, toMs: 12_000 });
      assertExited(await endOf(within), { code: 3, timedOut: false, fromMs: 4_900, toMs: 12_000 });
      assert.equal(observed(waiting)?.state, "queued");
      assert.ok(node.poolStatus().idle >= parked);
      await node.stop(holding);
      const stopped = await endOf(holding);
      assert.ok(stopped.kind === "stopped" && (stopped.durationMs ?? 0) < 60_000, JSON.stringify(stopped));
      assertExited(await endOf(waiting), { code: 5, timedOut: false, fromMs: 0, toMs: 10_000 });

      const next = start("sleep 60", null);
      await untilRunning(next);
      const request = { command: "date +%s", timeoutMs: 20_000, maxBytes: 100 };
      const { stdout } = await node.exec(next, request, { signal: AbortSignal.timeout(30_000) });
      const guestMs = Number(stdout.toString()) * 1_000;
      assert.ok(Math.abs(guestMs - clock.now().getTime()) < 5_000, `${new Date(guestMs)}`);
      await node.stop(next);
    });

  it("while the server is away gives a script no more and no less time", async () => {
    const [within, beyond] = [start("sleep 3; exit 6", 60_000), start("sleep 60", 4_000)];
    for (const jobId of [within, beyond]) await untilRunning(jobId);
    await node.close();
    shiftMs += HOUR_MS;
    node = await openNode(
      { uploads: NO_UPLOADS, clock, log: silentLogger },
      { ...options(), blockServer: blockServerOf(temp.path) },
      {
        signal: new AbortController().signal,
      },
    );
    assertExited(await endOf(within), { code: 6, timedOut: false, fromMs: 2_900, toMs: 10_000 });
    assertExited(await endOf(beyond), { code: 124, timedOut: true, fromMs: 3_900, toMs: 10_000 });
  });
});
