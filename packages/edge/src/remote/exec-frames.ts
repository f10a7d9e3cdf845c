/** The binary frames of a command. Numbers are big-endian, offsets have 8 bytes. */
import type { ExecOutput } from "@mags/domain";
import { violation } from "./pipe.ts";

const OFFSET_BYTES = 8;
const SOURCES = ["stdout", "stderr"] as const;

export function offsetFrame(offset: number): Buffer {
  const bytes = Buffer.alloc(OFFSET_BYTES);
  bytes.writeBigUInt64BE(BigInt(offset));
  return bytes;
}

export function offsetOf(payload: Buffer): number {
  if (payload.length < OFFSET_BYTES) throw violation("an offset is missing");
  const offset = Number(payload.readBigUInt64BE(0));
  if (!Number.isSafeInteger(offset)) throw violation("an offset is too large");
  return offset;
}

export const inputOf = (payload: Buffer) => ({ offset: offsetOf(payload), bytes: payload.subarray(OFFSET_BYTES) });

/** What stands before the bytes. */
export function outputHead({ source, offset }: Pick<ExecOutput, "source" | "offset">): Buffer {
  return Buffer.concat([Buffer.of(SOURCES.indexOf(source)), offsetFrame(offset)]);
}

export function outputOf(payload: Buffer): ExecOutput {
  const source = SOURCES[payload[0] ?? SOURCES.length];
  if (!source) throw violation("that is no source of output");
  return { source, offset: offsetOf(payload.subarray(1)), bytes: payload.subarray(1 + OFFSET_BYTES) };
}
