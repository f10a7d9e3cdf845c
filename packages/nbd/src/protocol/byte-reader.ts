/** Bytes of a connection, as many at a time as somebody asks for. The rest waits in the kernel, beyond one buffer of the stream. */
export interface ByteReader {
  /** Exactly so many bytes. They share memory with others that were received. @throws what ended the stream. */
  take(length: number): Promise<Buffer>;
  /** At least one byte, at most `most`. */
  some(most: number): Promise<Buffer>;
  /** Reads so many bytes and forgets them. */
  skip(length: number): Promise<void>;
}

/** One call at a time. */
export function createByteReader(source: AsyncIterable<Buffer>): ByteReader {
  const iterator = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);

  async function some(most: number): Promise<Buffer> {
    while (held.length === 0) {
      const { value, done } = await iterator.next();
      if (done) throw new Error("the stream ended");
      held = value;
    }
    const piece = held.subarray(0, most);
    held = held.subarray(piece.length);
    return piece;
  }

  return {
    some,
    async take(length) {
      const first = length === 0 ? Buffer.alloc(0) : await some(length);
      if (first.length === length) return first;
      const pieces = [first];
      for (let left = length - first.length; left > 0; ) {
        const piece = await some(left);
        pieces.push(piece);
        left -= piece.length;
      }
      return Buffer.concat(pieces, length);
    },
    async skip(length) {
      for (let left = length; left > 0; ) left -= (await some(left)).length;
    },
  };
}
