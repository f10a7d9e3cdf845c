/**
 * Whether the store enforces the conditions of writes: without them two nodes may write one workspace, whatever their
 * leases say. Found out once, at the start; nothing is leased before.
 */
import { isAppError, type Logger, messageOf, untilAborted } from "@mags/core";
import { type ObjectStore, probeObjectStore } from "@mags/object-store";

const PROBE_MS = 60_000;

/** @throws AppError `object_store_unfit`; what keeps it from being found out, which the next call tries again. */
export type Fitness = (options: { readonly signal: AbortSignal }) => Promise<void>;

/** Begins at once. @param options.signal  Ends what is under way. */
export function createFitness(
  { store, log }: { readonly store: ObjectStore; readonly log: Logger },
  options: { readonly signal: AbortSignal },
): Fitness {
  const probe = () =>
    probeObjectStore(store, { signal: AbortSignal.any([options.signal, AbortSignal.timeout(PROBE_MS)]) }).catch(
      (error: unknown) => {
        if (isAppError(error, "object_store_unfit")) log.error("blocks.store_unfit", { error: messageOf(error) });
        else found = undefined;
        throw error;
      },
    );
  let found: Promise<void> | undefined = probe();
  found.catch(() => {}); // whoever needs it hears of it
  return async ({ signal }) => {
    found ??= probe();
    await untilAborted(found, signal);
  };
}
