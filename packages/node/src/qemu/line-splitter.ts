/** Lines out of chunks. Holds one unfinished line, in one piece however small the chunks are. */
export interface LineSplitter {
  /** Calls `onLine` for each line that is complete. @throws Error when a line is longer than allowed. */
  push(chunk: Buffer, onLine: (line: string) => void): void;
}

const NEWLINE = 10;
const FIRST_BYTES = 1_024;

export function createLineSplitter(maxBytes: number): LineSplitter {
  let store = Buffer.alloc(FIRST_BYTES);
  let held = 0;

  function hold(piece: Buffer): void {
    if (held + piece.length > maxBytes) throw new Error(`a line of more than ${maxBytes} bytes`);
    if (held + piece.length > store.length) {
      const larger = Buffer.alloc(Math.min(maxBytes, Math.max(2 * store.length, held + piece.length)));
      store.copy(larger, 0, 0, held);
      store = larger;
    }
    held += piece.copy(store, held);
  }

  return {
    push(chunk, onLine) {
      let at = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, at)) {
        hold(chunk.subarray(at, end));
        const line = store.toString("utf8", 0, held);
        held = 0;
        at = end + 1;
        onLine(line);
      }
      hold(chunk.subarray(at));
    },
  };
}
