/** The size of a terminal that its client changes: the last one counts, however many there are. */
import type { TerminalSize } from "@mags/domain";

const DEFAULT_SIZE: TerminalSize = { rows: 24, cols: 80 };
const MOST_ROWS = 65_535;
const PAUSE_MS = 20;

export interface Resize {
  to(size: TerminalSize): void;
  /** Before that it waits. */
  begin(): void;
  end(): void;
}

export function createResize(apply: (size: TerminalSize) => void): Resize {
  let wanted: TerminalSize | undefined;
  let hasBegun = false;
  let timer: NodeJS.Timeout | undefined;
  function plan(): void {
    if (!hasBegun || !wanted || timer) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (wanted) apply(wanted);
      wanted = undefined;
    }, PAUSE_MS);
  }
  return {
    to(size) {
      wanted = size;
      plan();
    },
    begin() {
      hasBegun = true;
      plan();
    },
    end() {
      hasBegun = false;
      clearTimeout(timer);
    },
  };
}

/** As a client sends it: zero is not known. */
export function sizeOf({ rows, cols }: TerminalSize): TerminalSize {
  return {
    rows: Math.min(rows || DEFAULT_SIZE.rows, MOST_ROWS),
    cols: Math.min(cols || DEFAULT_SIZE.cols, MOST_ROWS),
  };
}
