/** Bytes as no honest sender makes them, from bytes as one does. */
import type { SeededRandom } from "./seeded-random.ts";

const INTERESTING = [0, 1, 2, 0x7f, 0x80, 0xff];

export function mutate(random: SeededRandom, original: Buffer): Buffer {
  const bytes = Buffer.from(original);
  const at = () => random.between(0, Math.max(0, bytes.length - 1));
  if (bytes.length === 0) return random.bytes(random.between(1, 30));
  switch (random.between(0, 6)) {
    case 0:
      for (let n = random.between(1, 4); n > 0; n--) bytes.writeUInt8(random.between(0, 255), at());
      return bytes;
    case 1:
      for (let n = random.between(1, 8); n > 0; n--) bytes.writeUInt8(random.pick(INTERESTING), at());
      return bytes;
    case 2:
      return bytes.subarray(0, at());
    case 3: {
      const from = at();
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(random.between(0, from))]);
    }
    case 4: {
      const from = at();
      return Buffer.concat([bytes.subarray(0, from), random.bytes(random.between(1, 20)), bytes.subarray(from)]);
    }
    case 5: {
      const from = at();
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + random.between(1, 8))]);
    }
    default:
      return random.bytes(random.between(1, 60));
  }
}
