import { ProtocolFault } from "./fault.ts";
import { MAX_STRING_BYTES } from "./values.ts";

/** Reads the fields of a message one after the other; each is checked to be there. */
export interface Fields {
  u16(): number;
  u32(): number;
  u64(): bigint;
  /** A string whose length is known, as names and messages are: at most 4096 bytes. */
  text(length: number): string;
  /** A string behind its length. */
  countedText(): string;
  readonly left: number;
  /** @throws ProtocolFault when something is left. */
  end(): void;
}

/** @param what  Names the message in faults: "an option". */
export function readFields(bytes: Buffer, what: string): Fields {
  let at = 0;

  function next(length: number): number {
    if (length > bytes.length - at) throw new ProtocolFault(`${what} that is cut short`);
    at += length;
    return at - length;
  }

  const fields: Fields = {
    u16: () => bytes.readUInt16BE(next(2)),
    u32: () => bytes.readUInt32BE(next(4)),
    u64: () => bytes.readBigUInt64BE(next(8)),
    text(length) {
      if (length > MAX_STRING_BYTES) throw new ProtocolFault(`${what} with a string that is too long`);
      const start = next(length);
      return bytes.toString("utf8", start, start + length);
    },
    countedText: () => fields.text(fields.u32()),
    get left() {
      return bytes.length - at;
    },
    end() {
      if (at !== bytes.length) throw new ProtocolFault(`${what} with more than belongs there`);
    },
  };
  return fields;
}
