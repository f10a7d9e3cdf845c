/**
 * Frames: header, payload, trailer. The decoder trusts nothing of what it is given, holds at most one unfinished frame
 * and touches each byte at most once.
 */
import { ProtocolViolation } from "./violation.ts";
import { FLAG, FRAME_HEADER_BYTES, FRAME_TRAILER_BYTES, MAX_PAYLOAD_BYTES } from "./wire.ts";

const MAGIC = 0x474d;
const TRAILER = 0xa55ac33c;
const KNOWN_FLAGS = FLAG.more | FLAG.reply | FLAG.error;
/** A payload that fills less than this part of the chunk it came in is copied: it must not keep all of that alive. */
const MIN_SHARE = 1 / 4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  /** Of the stream or request; 0 for the connection. */
  readonly id: number;
  /** At most 65 536 bytes. May share memory with what was pushed. */
  readonly payload: Buffer;
}

export interface FrameDecoder {
  /** Calls `onFrame` for each frame that is complete. @throws ProtocolViolation; the decoder must not be used any more. */
  push(chunk: Buffer, onFrame: (frame: Frame) => void): void;
  /** Bytes of an unfinished frame that are held. */
  readonly heldBytes: number;
}

export function writeFrameHeader(to: Buffer, frame: Omit<Frame, "payload"> & { readonly length: number }): void {
  to.writeUInt16LE(MAGIC, 0);
  to.writeUInt8(frame.type, 2);
  to.writeUInt8(frame.flags, 3);
  to.writeUInt32LE(frame.id, 4);
  to.writeUInt32LE(frame.length, 8);
}

export const FRAME_TRAILER: Buffer = Buffer.alloc(FRAME_TRAILER_BYTES);
FRAME_TRAILER.writeUInt32LE(TRAILER, 0);

export function encodeFrame(frame: Frame): Buffer {
  const { length } = frame.payload;
  const buffer = Buffer.allocUnsafe(FRAME_HEADER_BYTES + length + FRAME_TRAILER_BYTES);
  writeFrameHeader(buffer, { ...frame, length });
  frame.payload.copy(buffer, FRAME_HEADER_BYTES);
  FRAME_TRAILER.copy(buffer, FRAME_HEADER_BYTES + length);
  return buffer;
}

/** Size of the whole frame whose header is at `at`. */
function frameSize(bytes: Buffer, at: number): number {
  if (bytes.readUInt16LE(at) !== MAGIC) throw new ProtocolViolation("a frame does not begin with the magic");
  const flags = bytes.readUInt8(at + 3);
  if ((flags & ~KNOWN_FLAGS) !== 0) throw new ProtocolViolation(`unknown flags ${flags} in a frame`);
  const length = bytes.readUInt32LE(at + 8);
  if (length > MAX_PAYLOAD_BYTES) throw new ProtocolViolation(`a frame of ${length} bytes`);
  return FRAME_HEADER_BYTES + length + FRAME_TRAILER_BYTES;
}

function readFrame(bytes: Buffer, at: number, size: number): Frame {
  const end = at + size - FRAME_TRAILER_BYTES;
  if (bytes.readUInt32LE(end) !== TRAILER) throw new ProtocolViolation("a frame does not end with the trailer");
  let payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
  if (payload.length < bytes.length * MIN_SHARE) payload = Buffer.from(payload);
  return { type: bytes.readUInt8(at + 2), flags: bytes.readUInt8(at + 3), id: bytes.readUInt32LE(at + 4), payload };
}

export function createFrameDecoder(): FrameDecoder {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  /** The unfinished frame: in `header` until its size is known, then in `partial`. */
  let partial: Buffer | undefined;
  let held = 0;

  /** Takes what the unfinished frame still needs. @returns bytes taken */
  function collect(chunk: Buffer, at: number): number {
    let taken = 0;
    if (!partial) {
      taken = chunk.copy(header, held, at, at + FRAME_HEADER_BYTES - held);
      held += taken;
      if (held < FRAME_HEADER_BYTES) return taken;
      partial = Buffer.allocUnsafe(frameSize(header, 0));
      header.copy(partial);
    }
    const more = chunk.copy(partial, held, at + taken, at + taken + partial.length - held);
    held += more;
    return taken + more;
  }

  return {
    push(chunk, onFrame) {
      let at = 0;
      while (at < chunk.length) {
        if (held === 0 && chunk.length - at >= FRAME_HEADER_BYTES) {
          const size = frameSize(chunk, at);
          if (chunk.length - at >= size) {
            onFrame(readFrame(chunk, at, size));
            at += size;
            continue;
          }
        }
        at += collect(chunk, at);
        if (!partial || held < partial.length) return;
        const whole = partial;
        partial = undefined;
        held = 0;
        onFrame(readFrame(whole, 0, whole.length));
      }
    },
    get heldBytes() {
      return held;
    },
  };
}
