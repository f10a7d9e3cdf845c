/**
 * The start of a connection. What the guest had written for an earlier host comes first and is dropped, up to the
 * HELLO reply that carries our nonce.
 */
import { createFieldWriter } from "./fields.ts";
import { encodeFrame, writeFrameHeader } from "./frame.ts";
import { FLAG, FRAME_HEADER_BYTES, NONCE_BYTES, PAD_BYTES, PROTOCOL_VERSION, TAG, TYPE } from "./wire.ts";

const FIELD_HEADER_BYTES = 6;
/** Header of the frame and of its first field, the nonce. */
const PREFIX_BYTES = FRAME_HEADER_BYTES + FIELD_HEADER_BYTES;

/** Pad and HELLO, to be sent on both ports. */
export function encodeGreeting(nonce: Buffer): Buffer {
  const payload = createFieldWriter()
    .bytes(TAG.nonce, nonce)
    .u16(TAG.versionMin, PROTOCOL_VERSION)
    .u16(TAG.versionMax, PROTOCOL_VERSION)
    .finish();
  return Buffer.concat([Buffer.alloc(PAD_BYTES), encodeFrame({ type: TYPE.hello, flags: 0, id: 0, payload })]);
}

export interface GreetingFinder {
  /** The bytes from the beginning of the HELLO reply on, once it is found. */
  push(chunk: Buffer): Buffer | undefined;
}

export function createGreetingFinder(nonce: Buffer): GreetingFinder {
  /** The end of what was seen, in case the reply begins in it. */
  let rest: Buffer = Buffer.alloc(0);
  return {
    push(chunk) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let at = bytes.indexOf(nonce); at >= 0; at = bytes.indexOf(nonce, at + 1)) {
        const start = at - PREFIX_BYTES;
        if (start >= 0 && isReplyHeader(bytes.subarray(start, at))) return bytes.subarray(start);
      }
      rest = Buffer.from(bytes.subarray(Math.max(0, bytes.length - PREFIX_BYTES - NONCE_BYTES + 1)));
      return undefined;
    },
  };
}

/** True for the header of a HELLO reply, of success or failure, whose first field is a nonce. */
function isReplyHeader(bytes: Buffer): boolean {
  const flags = bytes.readUInt8(3);
  if (flags !== FLAG.reply && flags !== (FLAG.reply | FLAG.error)) return false;
  const expected = Buffer.alloc(PREFIX_BYTES);
  writeFrameHeader(expected, { type: TYPE.hello, flags, id: 0, length: bytes.readUInt32LE(8) });
  expected.writeUInt16LE(TAG.nonce, FRAME_HEADER_BYTES);
  expected.writeUInt32LE(NONCE_BYTES, FRAME_HEADER_BYTES + 2);
  return expected.equals(bytes);
}
