/** A client of HTTP/2 that says what no library lets one say. */
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, continuation: 9 } as const;
export const FLAG = { endStream: 1, endHeaders: 4 } as const;

export function frame(
  type: number,
  { flags = 0, stream = 0, payload = Buffer.alloc(0) }: { flags?: number; stream?: number; payload?: Buffer },
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Each as a literal without a place in the table; texts shorter than 127 bytes. */
export const fields = (...pairs: readonly (readonly [name: string, value: string])[]): Buffer =>
  Buffer.concat(pairs.flatMap((pair) => [Buffer.from([0]), ...pair.map(text)]));

const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value, "latin1")]);

export interface RawHttp2 extends Disposable {
  readonly socket: TLSSocket;
  /** All that has come: type, stream, payload. */
  readonly heard: { readonly type: number; readonly stream: number; readonly payload: Buffer }[];
  /** Resolves when the connection is over. */
  readonly closed: Promise<unknown>;
}

/** Connected, with the settings said. */
export async function openRawHttp2(port: number): Promise<RawHttp2> {
  const socket = connect({ port, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false });
  socket.on("error", () => {}); // its end follows
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const heard: RawHttp2["heard"] = [];
  let rest = Buffer.alloc(0);
  socket.on("data", (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      heard.push({ type: rest.readUInt8(3), stream: rest.readUInt32BE(5), payload: rest.subarray(9, end) });
      rest = rest.subarray(end);
    }
  });
  await once(socket, "secureConnect");
  socket.write(Buffer.concat([Buffer.from(PREFACE), frame(FRAME.settings, {})]));
  return { socket, heard, closed, [Symbol.dispose]: () => void socket.destroy() };
}
