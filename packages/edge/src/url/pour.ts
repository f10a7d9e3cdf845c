import type { Readable, Writable } from "node:stream";

/** That wait to be taken: each costs far more memory than a byte, and Node bounds only the bytes. */
const MOST_PIECES = 64;

/** As `pipe` does, without the end. What comes when `to` is gone is lost. */
export function pour(from: Readable, to: Pick<Writable, "write" | "on" | "destroyed">): void {
  let waiting = 0;
  let isFull = false;
  const goOn = () => {
    if (!isFull && waiting < MOST_PIECES) from.resume();
  };
  const taken = () => {
    waiting--;
    goOn();
  };
  from.on("data", (bytes: Buffer) => {
    if (to.destroyed) return;
    waiting++;
    isFull = !to.write(bytes, taken);
    if (isFull || waiting >= MOST_PIECES) from.pause();
  });
  to.on("drain", () => {
    isFull = false;
    goOn();
  });
  to.on("close", () => from.resume());
}
