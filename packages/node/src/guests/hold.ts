import type { GuestId } from "@mags/domain";
import type { AwakeGuest, Guests } from "./guests.ts";

/** A guest that stays awake until it is let go. */
export interface HeldGuest extends AwakeGuest {
  /** May be repeated. */
  release(): void;
}

/** For work that goes on after the call that began it, such as a stream. Rejects as `GuestHandle.use` does. */
export async function holdGuest(
  guests: Guests,
  id: GuestId,
  { signal }: { readonly signal: AbortSignal },
): Promise<HeldGuest> {
  const awake = Promise.withResolvers<AwakeGuest>();
  const over = Promise.withResolvers<void>();
  const work = (guest: AwakeGuest) => {
    awake.resolve(guest);
    return over.promise;
  };
  guests.get(id).use("files", work, { signal }).catch(awake.reject);
  return { ...(await awake.promise), release: over.resolve };
}
