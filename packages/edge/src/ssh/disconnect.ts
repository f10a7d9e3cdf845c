/** The end of a connection with a text for the user: that of ssh2 has none. Known of the version of ssh2-inside.ts only. */
import type { Connection } from "ssh2";
import { protocolOf, socketOf } from "./ssh2-inside.ts";

interface Writer {
  alloc(bytes: number, force: boolean): Buffer;
  finalize(packet: Buffer, force: boolean): Buffer;
  readonly allocStartKEX: number;
}
interface ProtocolInside {
  readonly _packetRW: { readonly write: Writer };
  disconnect(reason: number): void;
}

/** RFC 4253 section 11.1. */
const BY_APPLICATION = 11;
/** Message and reason stand before the text and its length, the language and its length behind it. */
const TEXT_AT = 5;
const LENGTH_BYTES = 4;
/** OpenSSH shows so many. */
const MOST_BYTES = 400;
/** For the client to read it. */
const PARTING_MS = 2_000;

/** OpenSSH writes the text to standard error, and ends with 255. May be repeated, then without effect. */
export function disconnect(client: Connection, text: string): void {
  const socket = socketOf(client);
  if (!socket.writable) return;
  const protocol = protocolOf(client) as ProtocolInside;
  const { write } = protocol._packetRW;
  const bytes = Buffer.from(text).subarray(0, MOST_BYTES);
  const { alloc, finalize } = write;
  write.alloc = (count, force) => alloc.call(write, count + bytes.length, force);
  write.finalize = (packet, force) => {
    const at = write.allocStartKEX + TEXT_AT;
    packet.writeUInt32BE(bytes.length, at);
    packet.set(bytes, at + LENGTH_BYTES);
    packet.writeUInt32BE(0, at + LENGTH_BYTES + bytes.length);
    return finalize.call(write, packet, force);
  };
  try {
    protocol.disconnect(BY_APPLICATION);
  } catch {
    socket.destroy(); // nothing can be said any more
  } finally {
    write.alloc = alloc;
    write.finalize = finalize;
  }
  socket.end();
  const late = setTimeout(() => socket.destroy(), PARTING_MS);
  socket.once("close", () => clearTimeout(late));
}
