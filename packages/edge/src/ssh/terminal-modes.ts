/**
 * The terminal modes that a client sends with `pty-req`, as they are. ssh2 1.17.0 begins to read them a byte too late and
 * so finds none; they are taken where it reads the message.
 */
import handlers from "ssh2/lib/protocol/handlers.js";

const CHANNEL_REQUEST = 98;
const TYPE_AT = 5;
const NAME = "pty-req";
/** All modes there are, and their end. */
const MOST_BYTES = 5 * 160;

/** Of the message that is being read. */
const found = new WeakMap<object, Buffer>();

const original = handlers[CHANNEL_REQUEST];
if (!original) throw new Error("ssh2 reads channel requests elsewhere: terminal-modes.ts is for another version");
handlers[CHANNEL_REQUEST] = (protocol, payload) => {
  const modes = readModes(payload);
  if (modes) found.set(protocol, modes);
  try {
    return original(protocol, payload);
  } finally {
    found.delete(protocol);
  }
};

/** What came with the `pty-req` that is being read. */
export const takeModes = (protocol: object): Buffer | undefined => found.get(protocol);

/** Of a channel request: u32 channel, string type, bool, and of this type string, 4 × u32, string. */
function readModes(payload: Buffer): Buffer | undefined {
  const begin = TYPE_AT + 4;
  if (payload.length < begin + NAME.length + 1 || payload.readUInt32BE(TYPE_AT) !== NAME.length) return undefined;
  if (payload.toString("latin1", begin, begin + NAME.length) !== NAME) return undefined;
  const termAt = begin + NAME.length + 1;
  if (payload.length < termAt + 4) return undefined;
  const modesAt = termAt + 4 + payload.readUInt32BE(termAt) + 16;
  if (payload.length < modesAt + 4) return undefined;
  const length = payload.readUInt32BE(modesAt);
  if (length > MOST_BYTES || payload.length < modesAt + 4 + length) return undefined;
  return Buffer.from(payload.subarray(modesAt + 4, modesAt + 4 + length));
}
