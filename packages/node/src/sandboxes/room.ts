/** What cannot be done in a sandbox while the host's disk is full, and what is said of it. */
import { diskFullError, firstFailure, isAppError, isDiskFull, untilAborted } from "@mags/core";
import type { MicroVm } from "../microvm/microvm-host.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";

type Deps = Pick<SandboxDeps, "dataDirectory">;
type Guest = Pick<MicroVm, "machine" | "paths">;

/** What the object store is sent at a time, and some more. */
const SOME_PACKS_BYTES = 64 * 1024 ** 2;

/** A write of the guest waits for room on the host's disk: it does nothing else until then. */
export async function waitsForRoom({ machine, paths }: Guest): Promise<boolean> {
  return machine.stuck.aborted && (await isDiskFull(paths.jail).catch(() => false)); // its jail has gone, which others see, too
}

/**
 * Asks something of the guest, and does not wait for the answer of one that waits for room itself.
 * @throws AppError `disk_full` then, else what `ask` throws.
 */
export async function unlessNoRoom<T>(deps: Deps, guest: Guest, ask: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const full = new AbortController();
  const look = async () => {
    if (await waitsForRoom(guest)) full.abort(diskFullError(deps.dataDirectory));
  };
  const { stuck } = guest.machine;
  stuck.addEventListener("abort", () => void look(), { once: true, signal: over.signal });
  try {
    await look();
    full.signal.throwIfAborted();
    return await untilAborted(ask(), full.signal);
  } finally {
    over.abort();
  }
}

/** What is said of a failure that the full disk explains, whatever has met it. */
export async function explainFullDisk(deps: Deps, { paths }: Guest, error: unknown): Promise<unknown> {
  const first = firstFailure(error);
  const code = isAppError(first) ? first.code : "internal";
  if (!["disk_full", "internal", "unavailable"].includes(code)) return error;
  const leastBytes = code === "disk_full" ? SOME_PACKS_BYTES : undefined;
  const isFull = await isDiskFull(paths.jail, leastBytes).catch(() => false); // its jail has gone, which others see, too
  return isFull ? diskFullError(deps.dataDirectory, { cause: error }) : error;
}
