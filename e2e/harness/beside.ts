/** What a job that does its worst must not do to others. */
import assert from "node:assert/strict";
import { waitFor } from "@mags/test-kit";
import type { JobStatus, TestServer } from "./server.ts";

/** A small job from submit to end, on a host that is busy with something else. */
const QUICK_MS = 5_000;

/**
 * Submits a script that prints a line `begun` before it does its worst, and runs a job beside it meanwhile, which must
 * run as ever. @returns the id.
 */
export async function submitBeside(server: TestServer, body: Readonly<Record<string, unknown>>): Promise<string> {
  await server.poolFilled(1);
  const id = await server.submit(body);
  await untilPrinted(server, id, "begun");
  await assertOthersRun(server);
  return id;
}

/** A script that is a program of Python: its exit code is the job's. */
export function python(program: string): string {
  return `exec python3 - <<'END'\n${program.trim()}\nEND`;
}

export async function untilPrinted(server: TestServer, id: string, text: string, deadlineMs = 30_000): Promise<void> {
  const output = async () => (await server.mags(["logs", id])).text;
  await waitFor(async () => (await output()).includes(text), {
    what: `job ${id} to print ${text}`,
    deadlineMs,
  });
}

export async function assertOthersRun(server: TestServer): Promise<void> {
  const startedAt = performance.now();
  const other = await server.submit({ script: "echo fine; exit 7" });
  const status: JobStatus = await server.ended(other);
  const tookMs = performance.now() - startedAt;
  assert.equal(status.exit_code, 7, status.error_message);
  assert.equal((await server.mags(["logs", other])).text, "fine\n");
  assert.ok(tookMs < QUICK_MS, `another job took ${Math.round(tookMs)} ms`);
}
