/**
 * The terminal modes that a client sends with `pty-req`, as they are. ssh2 1.17.0 begins to read them a byte too late and
 * so finds none; they are taken where it reads the message.
 */
import { createRequire } from "node:module";

const CHANNEL_REQUEST = 98;
const TYPE_AT = 5;
const NAME = "pty-req";
/** All modes there are, and their end. */
const MOST_BYTES = 5 * 160;

type Handler = (protocol: object, payload: Buffer) => unknown;

const handlers = createRequire(import.meta.url)("ssh2/lib/protocol/handlers.js") as Record<number, Handler>;
const found = new WeakMap<object, Map<number, Buffer>>();

const original = handlers[CHANNEL_REQUEST];
if (!original) throw new Error("ssh2 reads channel requests elsewhere: terminal-modes.ts is for another version");
handlers[CHANNEL_REQUEST] = (protocol, payload) => {
  const told = readModes(payload);
  if (told) {
    const channels = found.get(protocol) ?? new Map<number, Buffer>();
    found.set(protocol, channels.set(told.channel, told.modes));
  }
  return original(protocol, payload);
};

/** What came with the last `pty-req` of a channel; nothing when there was none. Forgets it. */
export function takeModes(protocol: object, channel: number): Buffer | undefined {
  const channels = found.get(protocol);
  const modes = channels?.get(channel);
  channels?.delete(channel);
  return modes;
}

/** Of a channel request: u32 channel, string type, bool, and of this type string, 4 × u32, string. */
export function readModes(payload: Buffer): { readonly channel: number; readonly modes: Buffer } | undefined {
  const begin = TYPE_AT + 4;
  if (payload.length < begin + NAME.length + 1 || payload.readUInt32BE(TYPE_AT) !== NAME.length) return undefined;
  if (payload.toString("latin1", begin, begin + NAME.length) !== NAME) return undefined;
  const termAt = begin + NAME.length + 1;
  if (payload.length < termAt + 4) return undefined;
  const modesAt = termAt + 4 + payload.readUInt32BE(termAt) + 16;
  if (payload.length < modesAt + 4) return undefined;
  const length = payload.readUInt32BE(modesAt);
  if (length > MOST_BYTES || payload.length < modesAt + 4 + length) return undefined;
  return { channel: payload.readUInt32BE(1), modes: Buffer.from(payload.subarray(modesAt + 4, modesAt + 4 + length)) };
}
