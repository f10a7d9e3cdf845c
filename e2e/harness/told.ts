/** Scripts that wait in the middle until they are told to go on. */
import assert from "node:assert/strict";
import type { TestServer } from "./server.ts";

/** The file in the guest that a script waits for. It needs no disk. */
export const GO = "/dev/shm/go";

/** A line of a shell script that waits until it is told. */
export const UNTIL_TOLD = `while [ ! -e ${GO} ]; do sleep 0.1; done`;

/**
 * Tells a script to go on. Where it ends at once its VM may end before the command that told it, which then hears of
 * that instead of its own end.
 */
export async function tell(server: TestServer, id: string): Promise<void> {
  const { exitCode, errors } = await server.mags(["exec", id, `touch ${GO}`]);
  if (exitCode !== 0) assert.match(errors, /the VM has ended: its job has ended/);
}
