import { AppError } from "@mags/core";

/** Hands out the numbers of microVMs: the lowest that is free, from 1. */
export interface Indexes {
  take(): number;
  /** For microVMs found at start. */
  reserve(index: number): void;
  free(index: number): void;
}

export function createIndexes(capacity: number): Indexes {
  const taken = new Set<number>();
  return {
    take() {
      for (let index = 1; index <= capacity; index++) {
        if (taken.has(index)) continue;
        taken.add(index);
        return index;
      }
      throw new AppError("capacity_exhausted", `this node has addresses for ${capacity} microVMs and all are in use`);
    },
    reserve: (index) => void taken.add(index),
    free: (index) => void taken.delete(index),
  };
}
