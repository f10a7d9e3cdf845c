import type { Readable } from "node:stream";

/** What is as large is passed on as it is. */
const SMALL = 1024;
const MOST_GATHERED = 16 * 1024;
const NONE = Buffer.alloc(0);

/**
 * Has small pieces of a body that come in one turn be one piece, and those that nobody reads few: each costs far more
 * memory than its bytes, and Node bounds only these. To be called before the first comes.
 * @param atEnd  Calls it when what comes in one turn has come. Node's parser ends a tick with each piece that it reads from
 *   a socket itself.
 */
export function gathered<T extends Readable>(body: T, atEnd: (then: () => void) => void = setImmediate): T {
  const [push, read] = [body.push.bind(body), body.read.bind(body)];
  let held = NONE;
  let length = 0;
  let isTurn = false;

  function flush(): void {
    if (length === 0) return;
    const piece = held.subarray(0, length);
    [held, length] = [NONE, 0];
    push(piece);
  }
  function add(piece: Buffer): void {
    if (length + piece.length > MOST_GATHERED) flush();
    if (length + piece.length > held.length) {
      const larger = Buffer.allocUnsafe(Math.min(2 * (length + piece.length), MOST_GATHERED));
      held.copy(larger, 0, 0, length);
      held = larger;
    }
    length += piece.copy(held, length);
  }
  function passOn(): void {
    isTurn = false;
    if (body.readableLength === 0) flush();
  }

  body.push = (piece: Buffer | null) => {
    if (piece === null || piece.length >= SMALL) {
      flush();
      return push(piece);
    }
    add(piece);
    if (!isTurn) atEnd(passOn);
    isTurn = true;
    return body.readableLength + length < body.readableHighWaterMark;
  };
  body.read = (size?: number) => {
    if (body.readableLength === 0 && !isTurn) flush();
    return read(size);
  };
  return body;
}
