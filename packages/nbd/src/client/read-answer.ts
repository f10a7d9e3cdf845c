import type { ByteReader } from "../protocol/byte-reader.ts";
import { ProtocolFault } from "../protocol/fault.ts";
import { CHUNK } from "../protocol/values.ts";
import { createCoverage } from "./coverage.ts";
import type { Answer } from "./transaction.ts";

const OFFSET_BYTES = 8;
const HOLE_BYTES = 12;
/** Honest servers cut at blocks of so many bytes or more, but for the first and the last chunk. */
const SMALLEST_CHUNK_BYTES = 512;

/** Puts a read together: every byte comes exactly once, in whatever order. */
export function createReadAnswer(request: { readonly offset: number; readonly length: number }): Answer<Buffer> {
  const { length } = request;
  const bytes = Buffer.alloc(length);
  const coverage = createCoverage();
  let chunksLeft = 2 + Math.ceil(length / SMALLEST_CHUNK_BYTES);

  /** @returns where in the answer the part begins. */
  function place(offset: number, part: number): number {
    if (chunksLeft-- === 0) throw new ProtocolFault("a read in very many pieces");
    const start = offset - request.offset;
    if (part === 0 || start < 0 || start + part > length) throw new ProtocolFault("a piece that was not asked for");
    if (!coverage.add(start, part)) throw new ProtocolFault("a piece twice");
    return start;
  }

  const takeOffset = async (payload: ByteReader) => Number((await payload.take(OFFSET_BYTES)).readBigUInt64BE());

  return {
    async take({ type, payloadBytes }, payload) {
      if (type === CHUNK.offsetData) {
        if (payloadBytes <= OFFSET_BYTES) throw new ProtocolFault("a piece without bytes");
        const part = payloadBytes - OFFSET_BYTES;
        const start = place(await takeOffset(payload), part);
        for (let at = start; at < start + part; ) at += (await payload.some(start + part - at)).copy(bytes, at);
      } else if (type === CHUNK.offsetHole) {
        if (payloadBytes !== HOLE_BYTES) throw new ProtocolFault(`a hole of ${payloadBytes} bytes`);
        const offset = await takeOffset(payload);
        place(offset, (await payload.take(4)).readUInt32BE());
      } else {
        throw new ProtocolFault(`a chunk of type ${type} in a read`);
      }
    },
    finish() {
      if (!coverage.isComplete(length)) throw new ProtocolFault("a read with gaps");
      return bytes;
    },
  };
}
