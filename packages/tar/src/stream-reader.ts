/** Reads a tar archive as it comes, each entry with its content. */
import { createEntryReader, type TarHeader } from "./entry-reader.ts";
import { BLOCK_BYTES, badArchive, shown } from "./header.ts";

export interface StreamedEntry {
  readonly entry: TarHeader;
  /** What of it is not read is skipped. It ends with the step to the next entry. */
  readonly content: AsyncGenerator<Buffer, void, void>;
}

/** @throws AppError `validation_failed` that says what is wrong with the archive, and where; what the source throws. */
export async function* readTarStream(source: AsyncIterable<Uint8Array>): AsyncGenerator<StreamedEntry, void, void> {
  const bytes = createPuller(source);
  const reader = createEntryReader();
  try {
    for (;;) {
      const at = bytes.position;
      const block = await bytes.take(BLOCK_BYTES);
      if (block.length < BLOCK_BYTES) throw badArchive(`the archive is cut short: it ends at byte ${bytes.position}`);
      const header = reader.header(block, at);
      if (header.kind === "end") break;
      if (header.kind === "extension") {
        const start = bytes.position;
        const body = await bytes.take(paddedSize(header.size));
        if (body.length < header.size) throw badArchive(`the archive is cut short: it ends at byte ${bytes.position}`);
        reader.extension(body.subarray(0, header.size), start);
        continue;
      }
      const { entry } = header;
      const content = bytes.some(entry.size, () => badArchive(`the archive is cut short in ${shown(entry.path)}`));
      yield { entry, content };
      for await (const _rest of content);
      await bytes.take(paddedSize(entry.size) - entry.size);
    }
    for (let rest = await bytes.next(); rest; rest = await bytes.next()); // what fills up the last record
  } finally {
    await bytes.end();
  }
}

function paddedSize(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Cuts what a source gives into pieces of the sizes that are asked for. */
function createPuller(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  let position = 0;

  /** At least one byte, at most `most`; nothing at the end. */
  async function next(most = Number.MAX_SAFE_INTEGER): Promise<Buffer | undefined> {
    while (held.length === 0) {
      const { value, done } = await iterator.next();
      if (done) return undefined;
      held = Buffer.from(value.buffer, value.byteOffset, value.length);
    }
    const piece = held.subarray(0, most);
    held = held.subarray(piece.length);
    position += piece.length;
    return piece;
  }

  return {
    next,
    get position() {
      return position;
    },
    /** As many bytes as are asked for; fewer at the end. */
    async take(length: number): Promise<Buffer> {
      const pieces: Buffer[] = [];
      for (let left = length; left > 0; ) {
        const piece = await next(left);
        if (!piece) break;
        pieces.push(piece);
        left -= piece.length;
      }
      return Buffer.concat(pieces);
    },
    async *some(length: number, onEnd: () => Error): AsyncGenerator<Buffer, void, void> {
      for (let left = length; left > 0; ) {
        const piece = await next(left);
        if (!piece) throw onEnd();
        left -= piece.length;
        yield piece;
      }
    },
    end: async () => void (await iterator.return?.()),
  };
}
