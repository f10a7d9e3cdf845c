/** The payload of DATA: one record of a stream. */
import { FRAME_TRAILER, writeFrameHeader } from "./frame.ts";
import { ProtocolViolation } from "./violation.ts";
import { DATA_HEADER_BYTES, FRAME_HEADER_BYTES, TYPE } from "./wire.ts";

export interface DataHeader {
  readonly channel: number;
  /** Nothing follows on this channel. */
  readonly fin: boolean;
  /** Milliseconds between reading and sending. */
  readonly ageMs: number;
  /** Number of the record in its stream and direction, from 0, without gaps. */
  readonly seq: number;
  /** Bytes of all earlier records. */
  readonly offset: number;
}

export interface Data extends DataHeader {
  /** Shares memory with the payload. */
  readonly bytes: Buffer;
}

/** The frame in pieces, so that the bytes are not copied. */
export function encodeData(streamId: number, header: DataHeader, bytes: Uint8Array): readonly Uint8Array[] {
  const head = Buffer.allocUnsafe(FRAME_HEADER_BYTES + DATA_HEADER_BYTES);
  writeFrameHeader(head, { type: TYPE.data, flags: 0, id: streamId, length: DATA_HEADER_BYTES + bytes.length });
  head.writeUInt8(header.channel, FRAME_HEADER_BYTES);
  head.writeUInt8(header.fin ? 1 : 0, FRAME_HEADER_BYTES + 1);
  head.writeUInt16LE(0, FRAME_HEADER_BYTES + 2);
  head.writeUInt32LE(header.ageMs, FRAME_HEADER_BYTES + 4);
  head.writeBigUInt64LE(BigInt(header.seq), FRAME_HEADER_BYTES + 8);
  head.writeBigUInt64LE(BigInt(header.offset), FRAME_HEADER_BYTES + 16);
  return [head, bytes, FRAME_TRAILER];
}

/** @throws ProtocolViolation */
export function decodeData(payload: Buffer): Data {
  if (payload.length < DATA_HEADER_BYTES) throw new ProtocolViolation("a DATA frame is too short");
  const fin = payload.readUInt8(1);
  if (fin > 1 || payload.readUInt16LE(2) !== 0) throw new ProtocolViolation("a DATA frame has unknown bits");
  return {
    channel: payload.readUInt8(0),
    fin: fin === 1,
    ageMs: payload.readUInt32LE(4),
    seq: safeNumber(payload, 8),
    offset: safeNumber(payload, 16),
    bytes: payload.subarray(DATA_HEADER_BYTES),
  };
}

function safeNumber(bytes: Buffer, at: number): number {
  const high = bytes.readUInt32LE(at + 4);
  if (high >= 0x20_0000) throw new ProtocolViolation("a DATA frame counts beyond 2^53");
  return high * 0x1_0000_0000 + bytes.readUInt32LE(at);
}
