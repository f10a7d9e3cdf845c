import { ProtocolFault } from "../protocol/fault.ts";
import { CHUNK } from "../protocol/values.ts";
import type { Answer } from "./transaction.ts";

/** Neighbours follow each other without a gap. */
export interface NbdExtent {
  readonly offset: number;
  readonly length: number;
  /** What they mean depends on the context: see `ALLOCATION` and `DIRTY`. */
  readonly flags: number;
}

const ID_BYTES = 4;
const DESCRIPTOR_BYTES = 8;
/** QEMU sends at most 2^17 descriptors. */
const MAX_PAYLOAD_BYTES = ID_BYTES + DESCRIPTOR_BYTES * 2 ** 17;

/** Takes what is told in every context and keeps that of one: extents from the offset on, within the range, not always all of it. */
export function createStatusAnswer(
  request: { readonly offset: number; readonly length: number; readonly blockBytes: number },
  contexts: { readonly wanted: number; readonly all: ReadonlySet<number> },
): Answer<readonly NbdExtent[]> {
  const seen = new Set<number>();
  const extents: NbdExtent[] = [];

  /** Descriptors are checked in every context. */
  function read(descriptors: Buffer, keep: boolean): void {
    let told = 0;
    for (let at = 0; at < descriptors.length; at += DESCRIPTOR_BYTES) {
      const length = descriptors.readUInt32BE(at);
      if (length === 0 || length % request.blockBytes !== 0) throw new ProtocolFault(`an extent of ${length} bytes`);
      if (told >= request.length) throw new ProtocolFault("extents beyond what was asked for");
      const flags = descriptors.readUInt32BE(at + 4);
      if (keep) extents.push({ offset: request.offset + told, length: Math.min(length, request.length - told), flags });
      told += length;
    }
  }

  return {
    async take({ type, payloadBytes }, payload) {
      if (type !== CHUNK.blockStatus) throw new ProtocolFault(`a chunk of type ${type} in a status`);
      const length = payloadBytes - ID_BYTES;
      if (length <= 0 || length % DESCRIPTOR_BYTES !== 0 || payloadBytes > MAX_PAYLOAD_BYTES)
        throw new ProtocolFault(`a status of ${payloadBytes} bytes`);
      const id = (await payload.take(ID_BYTES)).readUInt32BE();
      if (!contexts.all.has(id) || seen.has(id)) throw new ProtocolFault("a context that was not asked for, or twice");
      seen.add(id);
      read(await payload.take(length), id === contexts.wanted);
    },
    finish() {
      if (seen.size !== contexts.all.size) throw new ProtocolFault("a status without a context that was asked for");
      return extents;
    },
  };
}
