import { AppError, sleep } from "@mags/core";
import type { MicroVm } from "./microvm-host.ts";

const PATIENCE_MS = 1_000;

/**
 * A connection that ends is all that is seen at first of a microVM that is lost: why, is known a moment later.
 * @returns the error that says so; `error` where it is not lost.
 */
export async function explainLoss(error: unknown, { lost }: Pick<MicroVm, "lost">): Promise<unknown> {
  const over = new AbortController();
  const patience = sleep(PATIENCE_MS, { signal: over.signal }).then(
    () => undefined,
    () => undefined,
  );
  const reason = await Promise.race([lost, patience]);
  over.abort();
  return reason === undefined ? error : new AppError("microvm_lost", `the VM was lost: ${reason}`, { cause: error });
}
