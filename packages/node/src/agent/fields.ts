/** The payload of a control message: fields of tag (u16), length (u32) and bytes. */
import { ProtocolViolation } from "./violation.ts";
import { MAX_FIELDS } from "./wire.ts";

const FIELD_HEADER_BYTES = 6;

export interface FieldWriter {
  bytes(tag: number, value: string | Uint8Array): FieldWriter;
  u8(tag: number, value: number): FieldWriter;
  u16(tag: number, value: number): FieldWriter;
  u32(tag: number, value: number): FieldWriter;
  u64(tag: number, value: number | bigint): FieldWriter;
  finish(): Buffer;
}

export function createFieldWriter(): FieldWriter {
  const parts: Uint8Array[] = [];

  function put(tag: number, value: Uint8Array): FieldWriter {
    const header = Buffer.allocUnsafe(FIELD_HEADER_BYTES);
    header.writeUInt16LE(tag, 0);
    header.writeUInt32LE(value.length, 2);
    parts.push(header, value);
    return writer;
  }

  function putNumber(tag: number, size: number, value: number): FieldWriter {
    const buffer = Buffer.allocUnsafe(FIELD_HEADER_BYTES + size);
    buffer.writeUInt16LE(tag, 0);
    buffer.writeUInt32LE(size, 2);
    buffer.writeUIntLE(value, FIELD_HEADER_BYTES, size);
    parts.push(buffer);
    return writer;
  }

  const writer: FieldWriter = {
    bytes: (tag, value) => put(tag, typeof value === "string" ? Buffer.from(value) : value),
    u8: (tag, value) => putNumber(tag, 1, value),
    u16: (tag, value) => putNumber(tag, 2, value),
    u32: (tag, value) => putNumber(tag, 4, value),
    u64(tag, value) {
      const buffer = Buffer.allocUnsafe(8);
      buffer.writeBigUInt64LE(BigInt(value));
      return put(tag, buffer);
    },
    finish: () => Buffer.concat(parts),
  };
  return writer;
}

/** Reads the fields of a message of the guest. Every method throws ProtocolViolation on a number of the wrong size. */
export interface FieldReader {
  /** The first value with that tag. It shares memory with the payload. */
  bytes(tag: number): Buffer | undefined;
  /** Every value with that tag, at most `limit`. @throws ProtocolViolation when there are more. */
  all(tag: number, limit: number): Buffer[];
  u8(tag: number): number | undefined;
  u16(tag: number): number | undefined;
  u32(tag: number): number | undefined;
  /** @throws ProtocolViolation also above 2^53 - 1: no honest count gets there. */
  u64(tag: number): number | undefined;
}

/** @throws ProtocolViolation when the payload is not a sequence of whole fields, at most 512 of them. */
export function readFields(payload: Buffer): FieldReader {
  let at = 0;
  let count = 0;
  while (at < payload.length) {
    if (payload.length - at < FIELD_HEADER_BYTES) throw new ProtocolViolation("a message ends within a field");
    at += FIELD_HEADER_BYTES + payload.readUInt32LE(at + 2);
    // Each look-up of a field walks over all of them.
    if (++count > MAX_FIELDS) throw new ProtocolViolation(`a message of more than ${MAX_FIELDS} fields`);
  }
  if (at > payload.length) throw new ProtocolViolation("a field ends beyond its message");

  function* values(tag: number): Generator<Buffer> {
    let next: number;
    for (let start = 0; start < payload.length; start = next) {
      const from = start + FIELD_HEADER_BYTES;
      next = from + payload.readUInt32LE(start + 2);
      if (payload.readUInt16LE(start) === tag) yield payload.subarray(from, next);
    }
  }

  function first(tag: number): Buffer | undefined {
    for (const value of values(tag)) return value;
    return undefined;
  }

  function sized(tag: number, size: number): Buffer | undefined {
    const value = first(tag);
    if (value && value.length !== size) throw new ProtocolViolation(`field ${tag} has ${value.length} bytes`);
    return value;
  }

  return {
    bytes: first,
    all(tag, limit) {
      const found: Buffer[] = [];
      for (const value of values(tag)) {
        if (found.length === limit) throw new ProtocolViolation(`more than ${limit} fields ${tag} in a message`);
        found.push(value);
      }
      return found;
    },
    u8: (tag) => sized(tag, 1)?.readUInt8(0),
    u16: (tag) => sized(tag, 2)?.readUInt16LE(0),
    u32: (tag) => sized(tag, 4)?.readUInt32LE(0),
    u64(tag) {
      const value = sized(tag, 8)?.readBigUInt64LE(0);
      if (value !== undefined && value > BigInt(Number.MAX_SAFE_INTEGER))
        throw new ProtocolViolation(`field ${tag} holds ${value}`);
      return value === undefined ? undefined : Number(value);
    },
  };
}

/** For a field that the message cannot do without. */
export function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new ProtocolViolation(`${name} is missing in a message`);
  return value;
}
