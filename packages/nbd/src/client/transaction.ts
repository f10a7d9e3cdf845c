import type { ByteReader } from "../protocol/byte-reader.ts";
import { ProtocolFault } from "../protocol/fault.ts";
import { readFields } from "../protocol/fields.ts";
import { CHUNK, MAX_STRING_BYTES } from "../protocol/values.ts";

/** What a request was answered with, while it comes. */
export interface Answer<T> {
  /** Nothing comes but that it was done. */
  readonly mayBeSimple?: true;
  /** Takes one chunk with its payload, all of which is read. @throws ProtocolFault when it does not belong here. */
  take(chunk: { readonly type: number; readonly payloadBytes: number }, payload: ByteReader): Promise<void>;
  /** After the last chunk, when none was an error. @throws ProtocolFault when something is missing. */
  finish(): T;
}

/** The answer to what only is to be done. */
export const DONE: Answer<void> = {
  mayBeSimple: true,
  async take({ type }) {
    throw new ProtocolFault(`a chunk of type ${type} for what has no answer`);
  },
  finish() {},
};

const ERROR_BYTES = 6;

/** Reads a chunk that tells of an error, of whatever type. */
export async function takeError(
  chunk: { readonly type: number; readonly payloadBytes: number },
  payload: ByteReader,
): Promise<{ readonly number: number; readonly message: string }> {
  const { type, payloadBytes } = chunk;
  const beyond = type === CHUNK.errorOffset ? 8 : 0;
  if (payloadBytes < ERROR_BYTES + beyond || payloadBytes > ERROR_BYTES + MAX_STRING_BYTES + 8)
    throw new ProtocolFault(`an error of ${payloadBytes} bytes`);
  const fields = readFields(await payload.take(payloadBytes), "an error");
  const number = fields.u32();
  if (number === 0) throw new ProtocolFault("an error without a number");
  const message = fields.text(fields.u16());
  if (type === CHUNK.error) fields.end();
  if (type === CHUNK.errorOffset) {
    fields.u64();
    fields.end();
  }
  return { number, message };
}
