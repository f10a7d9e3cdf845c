/** Requests of the transmission phase: 28 bytes, and after a write what is to be written. */
import { ProtocolFault } from "./fault.ts";
import { REQUEST_MAGIC } from "./values.ts";

export interface NbdRequest {
  readonly flags: number;
  readonly type: number;
  /** Names the request in its replies. */
  readonly cookie: bigint;
  /** From 2^53 on it is not exact, and beyond every export. */
  readonly offset: number;
  readonly length: number;
}

export const REQUEST_BYTES = 28;

export function encodeRequest({ flags, type, cookie, offset, length }: NbdRequest): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeBigUInt64BE(cookie, 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

export function decodeRequest(bytes: Buffer): NbdRequest {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) throw new ProtocolFault("a request without its magic number");
  return {
    flags: bytes.readUInt16BE(4),
    type: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offset: Number(bytes.readBigUInt64BE(16)),
    length: bytes.readUInt32BE(24),
  };
}
