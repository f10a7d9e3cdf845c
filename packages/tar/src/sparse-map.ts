/**
 * The map before the parts of a sparse file, format 1.0 of GNU tar's extended headers: decimal numbers, a line each: how
 * many parts, then offset and length of each, filled up to a block. The last part is empty and stands at the file's end;
 * those before are of whole blocks, up to the one at the end of the file: readers differ in what stands behind others.
 */
import { BLOCK_BYTES } from "./header.ts";
import { padding } from "./writer.ts";

interface Part {
  readonly offset: number;
  readonly length: number;
}

/** How long the map of parts is, which are given one after the other. */
export function createMapMeasure(sparseSize: number) {
  let count = 1;
  let digits = linesOf({ offset: sparseSize, length: 0 }).length;
  return {
    add(part: Part): void {
      count++;
      digits += linesOf(part).length;
    },
    /** @returns what `sparseMap` is to be told, and how many bytes it gives. */
    end(): { readonly count: number; readonly bytes: number } {
      const bytes = `${count}\n`.length + digits;
      return { count, bytes: Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES };
    },
  };
}

/** The map, in pieces. @param parts  The same, in the same order, as were measured. */
export async function* sparseMap(
  parts: AsyncIterable<Part>,
  { count, sparseSize }: { readonly count: number; readonly sparseSize: number },
): AsyncGenerator<Buffer, void, void> {
  let written = 0;
  const piece = (text: string) => {
    written += text.length;
    return Buffer.from(text, "latin1");
  };
  yield piece(`${count}\n`);
  for await (const part of parts) yield piece(linesOf(part));
  yield piece(linesOf({ offset: sparseSize, length: 0 }));
  yield padding(written);
}

const linesOf = ({ offset, length }: Part) => `${offset}\n${length}\n`;
