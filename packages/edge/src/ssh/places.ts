/** How much there is of each: of one who takes much no other has less. */
export interface Places<K> {
  /** Takes one. @returns Gives it back, may be repeated; undefined: there is none. */
  take(key: K): (() => void) | undefined;
}

/** @param most  Of each key. */
export function createPlaces<K>(most: number): Places<K> {
  const counts = new Map<K, number>();
  return {
    take(key) {
      const count = counts.get(key) ?? 0;
      if (count >= most) return undefined;
      counts.set(key, count + 1);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (counts.get(key) ?? 1) - 1;
        if (left === 0) counts.delete(key);
        else counts.set(key, left);
      };
    },
  };
}
