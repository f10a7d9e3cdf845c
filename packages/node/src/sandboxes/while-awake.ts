import { AppError } from "@mags/core";
import { explainLoss } from "../microvm/explain-loss.ts";
import type { Awake } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";

/** Does what needs its microVM. @throws AppError `unavailable` when it sleeps, `microvm_lost` when that is why it failed. */
export async function whileAwake<T>(
  { awake }: Pick<SandboxLife, "awake">,
  { signal }: { readonly signal: AbortSignal },
  work: (awake: Awake) => Promise<T>,
): Promise<T> {
  if (!awake) throw new AppError("unavailable", "the sandbox sleeps");
  return await work(awake).catch(async (error: unknown) => {
    throw signal.aborted ? error : await explainLoss(error, awake.microVm);
  });
}
