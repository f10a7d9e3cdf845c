/** Which parts of a range have come. They mostly come in order, and may come in any. */
export interface Coverage {
  /** False when some of it has come already. */
  add(start: number, length: number): boolean;
  /** Nothing is missing of the range from 0 to here. */
  isComplete(length: number): boolean;
}

export function createCoverage(): Coverage {
  /** In order, with gaps between them. */
  const parts: { start: number; end: number }[] = [];

  /** Of the first part that ends at `offset` or after it. */
  function indexOf(offset: number): number {
    let low = 0;
    let high = parts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((parts[middle]?.end ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    add(start, length) {
      const end = start + length;
      let at = indexOf(start);
      let before = parts[at];
      if (before && before.end === start) {
        at++;
      } else {
        before = undefined;
      }
      const after = parts[at];
      if (after && after.start < end) return false;
      const joins = after !== undefined && after.start === end;
      if (before) {
        before.end = joins ? after.end : end;
        if (joins) parts.splice(at, 1);
      } else if (joins) {
        after.start = start;
      } else {
        parts.splice(at, 0, { start, end });
      }
      return true;
    },
    isComplete: (length) => parts.length === 1 && parts[0]?.start === 0 && parts[0].end === length,
  };
}
