/** Knows who reads on, and what they will ask for next. */
export interface ReadAhead {
  /**
   * Told of each read.
   * @returns the chunks that are to be fetched ahead, from `first` up to `end`; null when nothing is.
   */
  onRead(first: number, end: number): { readonly first: number; readonly end: number } | null;
}

/** Reads that go on at the same time, of several files, say. */
const READERS = 8;
/** Reads come in parallel, and out of order. */
const SLACK = 32;
const FIRST_WINDOW = 16;
/** 8 MiB. */
const LONGEST_WINDOW = 128;

interface Reader {
  /** Where its next read is expected. */
  next: number;
  /** Up to where has been fetched. */
  ahead: number;
  window: number;
}

/** Numbers are chunks. */
export function createReadAhead({ chunkCount }: { readonly chunkCount: number }): ReadAhead {
  /** Those that read last come last. */
  const readers: Reader[] = [];
  return {
    onRead(first, end) {
      const index = readers.findLastIndex(({ next }) => first <= next && end >= next - SLACK && first >= next - SLACK);
      const [reader] = index === -1 ? [] : readers.splice(index, 1);
      if (!reader) {
        readers.push({ next: end, ahead: end, window: FIRST_WINDOW });
        if (readers.length > READERS) readers.shift();
        return null;
      }
      readers.push(reader);
      reader.next = Math.max(reader.next, end);
      reader.ahead = Math.max(reader.ahead, reader.next);
      if (reader.ahead - reader.next >= reader.window / 2) return null;
      const from = reader.ahead;
      reader.ahead = Math.min(reader.next + reader.window, chunkCount);
      reader.window = Math.min(2 * reader.window, LONGEST_WINDOW);
      return reader.ahead > from ? { first: from, end: reader.ahead } : null;
    },
  };
}
