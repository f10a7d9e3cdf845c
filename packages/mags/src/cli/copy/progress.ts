import type { Cli } from "../cli.ts";

/** How much was copied, on a terminal. */
export interface Progress {
  /** The same pieces, counted. */
  count<T extends Uint8Array>(pieces: AsyncIterable<T>): AsyncGenerator<T, void, void>;
  /** Takes the line away again. */
  end(): Promise<void>;
}

const INTERVAL_MS = 200;
const CLEAR_LINE = "\r\u001b[K";

export function createProgress(cli: Cli): Progress {
  const startedAt = cli.now();
  let bytes = 0;
  let shownAt = startedAt;
  let shown = false;

  async function show(): Promise<void> {
    const now = cli.now();
    if (!cli.stderr.isTerminal || now - shownAt < INTERVAL_MS) return;
    shownAt = now;
    shown = true;
    const speed = bytes / Math.max(1, now - startedAt) / 1000;
    await cli.stderr.write(`${CLEAR_LINE}${(bytes / 1e6).toFixed(1)} MB, ${speed.toFixed(1)} MB/s`);
  }

  return {
    async *count(pieces) {
      for await (const piece of pieces) {
        bytes += piece.length;
        await show();
        yield piece;
      }
    },
    async end() {
      if (shown) await cli.stderr.write(CLEAR_LINE);
    },
  };
}
