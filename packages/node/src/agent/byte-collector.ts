/**
 * The first bytes of what a guest prints. They are copied together: the guest decides how small the pieces are, and a
 * million pieces of one byte would take a hundred times their size.
 */
export interface ByteCollector {
  add(piece: Buffer): void;
  readonly bytes: Buffer;
  /** More came than is kept. */
  readonly truncated: boolean;
}

const FIRST_BYTES = 4_096;

export function createByteCollector(maxBytes: number): ByteCollector {
  let store = Buffer.alloc(0);
  let length = 0;
  let truncated = false;
  return {
    add(piece) {
      const kept = Math.min(piece.length, maxBytes - length);
      if (kept < piece.length) truncated = true;
      if (length + kept > store.length) {
        const larger = Buffer.alloc(Math.min(maxBytes, Math.max(FIRST_BYTES, 2 * store.length, length + kept)));
        store.copy(larger, 0, 0, length);
        store = larger;
      }
      piece.copy(store, length, 0, kept);
      length += kept;
    },
    get bytes() {
      return store.subarray(0, length);
    },
    get truncated() {
      return truncated;
    },
  };
}
