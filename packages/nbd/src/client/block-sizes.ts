import { ProtocolFault } from "../protocol/fault.ts";
import type { Fields } from "../protocol/fields.ts";

export interface BlockSizes {
  /** Reads begin and end at multiples of it: a power of two. */
  readonly minimum: number;
  readonly preferred: number;
  /** Most bytes of a read. */
  readonly maximum: number;
}

/** What holds when a server tells none ("Block size constraints" of the protocol). */
export const DEFAULT_BLOCK_SIZES: BlockSizes = { minimum: 1, preferred: 4096, maximum: 32 * 1024 ** 2 };

const MAX_MINIMUM = 64 * 1024;

/** @throws ProtocolFault when they make no sense. */
export function readBlockSizes(fields: Fields): BlockSizes {
  const [minimum, preferred, maximum] = [fields.u32(), fields.u32(), fields.u32()];
  fields.end();
  const powerOfTwo = minimum > 0 && (minimum & (minimum - 1)) === 0;
  if (!powerOfTwo || minimum > MAX_MINIMUM || preferred < minimum || maximum < minimum)
    throw new ProtocolFault("sizes of blocks that make no sense");
  return { minimum, preferred, maximum };
}
