/** How many visits are at a guest at a time: what runs in it has room for others, such as its owner's commands. */
import { createGate, type Gate } from "@mags/core";
import type { GuestId } from "@mags/domain";

export interface GuestGates {
  /** Whether who enters does not wait. */
  hasRoom(guest: GuestId): boolean;
  /** Waits for a place. @returns leaves it. @throws the signal's reason */
  enter(guest: GuestId, options?: { readonly signal?: AbortSignal }): Promise<() => void>;
}

/** @param width  Of each guest. */
export function createGuestGates(width: number): GuestGates {
  const gates = new Map<GuestId, Gate>();
  const tidy = (guest: GuestId, { inside, waiting }: Gate) => {
    if (inside + waiting === 0) gates.delete(guest);
  };
  return {
    hasRoom(guest) {
      const gate = gates.get(guest);
      return !gate || (gate.inside < width && gate.waiting === 0);
    },
    async enter(guest, options) {
      const gate = gates.get(guest) ?? createGate(width);
      gates.set(guest, gate);
      try {
        const leave = await gate.enter(options);
        return () => {
          leave();
          tidy(guest, gate);
        };
      } catch (error) {
        tidy(guest, gate);
        throw error;
      }
    },
  };
}
