/** Binary messages of a streamed command: channel, offset, bytes. */
import { AppError } from "@mags/core";
import type { ExecOutput } from "@mags/domain";

const HEADER_BYTES = 9;
const STDIN = 0;
const CHANNEL = { stdout: 1, stderr: 2 } as const;

export function encodeOutput({ source, offset, bytes }: ExecOutput): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + bytes.length);
  frame.writeUInt8(CHANNEL[source], 0);
  frame.writeBigUInt64LE(BigInt(offset), 1);
  bytes.copy(frame, HEADER_BYTES);
  return frame;
}

/** @throws AppError `validation_failed` */
export function decodeInput(frame: Buffer): { readonly offset: number; readonly bytes: Buffer } {
  if (frame.length < HEADER_BYTES || frame.readUInt8(0) !== STDIN)
    throw new AppError("validation_failed", "a binary message must be input: a zero, 8 bytes of offset, the bytes");
  const offset = frame.readBigUInt64LE(1);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) throw new AppError("validation_failed", "an offset beyond all input");
  return { offset: Number(offset), bytes: frame.subarray(HEADER_BYTES) };
}
