/** What listens in a guest for as long as a client wants: where the guest has slept, or the server was away, it does so again. */
import { isAppError, sleep } from "@mags/core";
import type { GuestListener } from "@mags/domain";

export interface KeptListenerDeps {
  /** Listens where the first did, when the guest is awake, without waking it. */
  readonly again: () => Promise<GuestListener>;
  /** Settles when no more connections come in by it. */
  readonly passOn: (listener: GuestListener) => Promise<void>;
  /** The one there is now; null: there is none. */
  readonly onChange: (listener: GuestListener | null) => void;
  /** Aborted when it is not wanted any more. */
  readonly given: AbortSignal;
}

const PAUSES = { firstMs: 100, mostMs: 10_000 };
/** In a row, some 6 s: what a guest has left of the one before is gone then. */
const MOST_REFUSALS = 6;

/** @throws the signal's reason; AppError `connection_refused`: the guest does not let it listen there any more; `forbidden`: nor does the server. */
export async function keepListening(first: GuestListener, deps: KeptListenerDeps, pauses = PAUSES): Promise<never> {
  const { given } = deps;
  for (let listener = first; ; listener = await listenAgain(deps, pauses)) {
    deps.onChange(listener);
    try {
      given.throwIfAborted();
      await deps.passOn(listener);
    } catch {
      given.throwIfAborted(); // else its guest sleeps, or is lost
    } finally {
      deps.onChange(null);
      listener.close();
    }
  }
}

async function listenAgain(
  { again, given }: KeptListenerDeps,
  { firstMs, mostMs }: typeof PAUSES,
): Promise<GuestListener> {
  let refusals = 0;
  for (let pauseMs = firstMs; ; pauseMs = Math.min(2 * pauseMs, mostMs)) {
    await sleep(pauseMs, { signal: given });
    try {
      return await again();
    } catch (error) {
      given.throwIfAborted();
      if (isAppError(error, "forbidden")) throw error; // his key is good no more
      refusals = isAppError(error, "connection_refused") ? refusals + 1 : 0;
      if (refusals >= MOST_REFUSALS) throw error;
    }
  }
}
