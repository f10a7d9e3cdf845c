/** Control messages: cut into frames, and put together again. */
import { encodeFrame, type Frame } from "./frame.ts";
import { ProtocolViolation } from "./violation.ts";
import { FLAG, MAX_MESSAGE_BYTES, MAX_MESSAGE_FRAMES, MAX_PAYLOAD_BYTES } from "./wire.ts";

export interface Message {
  readonly type: number;
  readonly id: number;
  readonly reply: boolean;
  readonly error: boolean;
  readonly payload: Buffer;
}

export function encodeMessage(message: Pick<Message, "type" | "id" | "payload">): Buffer {
  const { type, id, payload } = message;
  if (payload.length <= MAX_PAYLOAD_BYTES) return encodeFrame({ type, flags: 0, id, payload });
  const frames: Buffer[] = [];
  for (let at = 0; at < payload.length; at += MAX_PAYLOAD_BYTES) {
    const end = at + MAX_PAYLOAD_BYTES;
    const flags = end < payload.length ? FLAG.more : 0;
    frames.push(encodeFrame({ type, flags, id, payload: payload.subarray(at, end) }));
  }
  return Buffer.concat(frames);
}

export interface MessageAssembler {
  /** The message that this frame completes, if it does. @throws ProtocolViolation */
  add(frame: Frame): Message | undefined;
}

export function createMessageAssembler(): MessageAssembler {
  let parts: Buffer[] = [];
  let first: Frame | undefined;
  let size = 0;

  function complete(frame: Frame, payload: Buffer): Message {
    const reply = (frame.flags & FLAG.reply) !== 0;
    const error = (frame.flags & FLAG.error) !== 0;
    return { type: frame.type, id: frame.id, reply, error, payload };
  }

  return {
    add(frame) {
      const more = (frame.flags & FLAG.more) !== 0;
      if (!first && !more) return complete(frame, frame.payload);
      first ??= frame;
      if (frame.type !== first.type || frame.id !== first.id || (frame.flags | FLAG.more) !== first.flags)
        throw new ProtocolViolation("another frame comes between those of a message");
      size += frame.payload.length;
      if (size > MAX_MESSAGE_BYTES) throw new ProtocolViolation(`a message of more than ${MAX_MESSAGE_BYTES} bytes`);
      if (frame.payload.length === 0) throw new ProtocolViolation("an empty frame within a message");
      parts.push(frame.payload);
      // A part costs far more than its bytes when it is small.
      if (parts.length > MAX_MESSAGE_FRAMES)
        throw new ProtocolViolation(`a message of more than ${MAX_MESSAGE_FRAMES} frames`);
      if (more) return undefined;
      const payload = Buffer.concat(parts);
      parts = [];
      first = undefined;
      size = 0;
      return complete(frame, payload);
    },
  };
}
