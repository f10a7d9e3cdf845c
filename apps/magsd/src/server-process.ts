/** The server's process, seen from a command beside it. */
import { isAlive, readProcess, type ServerProcess } from "@mags/control-plane";
import { AppError, sleep } from "@mags/core";
import { callControlSocket } from "./control-socket.ts";
import type { Places } from "./installation.ts";
import type { ServerStatus } from "./status.ts";

const CALL_MS = 5_000;
const POLL_MS = 50;

/** What the server says of itself; undefined when none runs. */
export function serverStatus({ controlSocket }: Places): Promise<ServerStatus | undefined> {
  return callControlSocket<ServerStatus>(controlSocket, "GET", "/status", CALL_MS);
}

/**
 * Resolves when the process is gone, not only silent.
 * @throws AppError `unavailable` after `deadlineMs`.
 */
export async function untilServerGone(pid: number, options: { readonly deadlineMs: number }): Promise<void> {
  const server: ServerProcess | null = await readProcess(pid);
  const deadline = performance.now() + options.deadlineMs;
  while (server && (await isAlive(server))) {
    if (performance.now() > deadline) throw new AppError("unavailable", `magsd (pid ${pid}) does not end`);
    await sleep(POLL_MS);
  }
}
