/** A server that says what a test tells it to: at first what an honest one says, then whatever. */
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { makeTempDir } from "@mags/test-kit";
import { type ByteReader, createByteReader } from "../src/protocol/byte-reader.ts";
import { readFields } from "../src/protocol/fields.ts";
import { encodeGreeting, encodeOptionReply, OPTION_HEADER_BYTES, u16, u32, u64 } from "../src/protocol/options.ts";
import { decodeRequest, type NbdRequest, REQUEST_BYTES } from "../src/protocol/requests.ts";
import { OPTION } from "../src/protocol/values.ts";

export const SIZE = 64 * 1024;

export interface Script {
  /** What it greets with. */
  readonly greeting?: Buffer;
  /** What it says to an option instead of what an honest one would. */
  readonly options?: Readonly<Record<number, Buffer>>;
  /** Nothing: it hangs. */
  onRequest?(request: NbdRequest, say: (bytes: Buffer) => void): void;
}

export interface ScriptedServer extends AsyncDisposable {
  readonly path: string;
  /** For connections from now on. */
  play(script: Script): void;
}

/** What an honest server answers to an option. Contexts have the numbers 1, 2, … in the order of the query. */
export function honestReplies(option: number, data: Buffer): Buffer {
  const ack = encodeOptionReply(option, 1);
  if (option === OPTION.setMetaContext) {
    const fields = readFields(data, "a query");
    fields.countedText();
    const names = Array.from({ length: fields.u32() }, () => fields.countedText());
    const contexts = names.map((name, n) =>
      encodeOptionReply(option, 4, Buffer.concat([u32(n + 1), Buffer.from(name)])),
    );
    return Buffer.concat([...contexts, ack]);
  }
  if (option === OPTION.go) {
    const size = encodeOptionReply(option, 3, Buffer.concat([u16(0), u64(SIZE), u16(0x103)]));
    const blocks = encodeOptionReply(option, 3, Buffer.concat([u16(3), u32(1), u32(4096), u32(SIZE)]));
    return Buffer.concat([size, blocks, ack]);
  }
  return ack;
}

export async function startScriptedServer(): Promise<ScriptedServer> {
  const directory = await makeTempDir();
  const path = join(directory.path, "nbd.sock");
  let script: Script = {};
  const sockets = new Set<Socket>();

  async function talk(
    reader: ByteReader,
    socket: Socket,
    { greeting, options = {}, onRequest }: Script,
  ): Promise<void> {
    socket.write(greeting ?? encodeGreeting());
    await reader.take(4);
    for (let option = 0; option !== OPTION.go; ) {
      const header = await reader.take(OPTION_HEADER_BYTES);
      option = header.readUInt32BE(8);
      const data = await reader.take(header.readUInt32BE(12));
      socket.write(options[option] ?? honestReplies(option, data));
    }
    for (;;) {
      const request = decodeRequest(await reader.take(REQUEST_BYTES));
      onRequest?.(request, (bytes) => void socket.write(bytes));
    }
  }

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}); // the client may go at any time
    socket.once("close", () => sockets.delete(socket));
    talk(createByteReader(socket), socket, script).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    play(next) {
      script = next;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** One chunk of a structured reply. */
export function chunk(cookie: bigint, type: number, payload: Buffer = Buffer.alloc(0), done = true): Buffer {
  return Buffer.concat([u32(0x668e33ef), u16(done ? 1 : 0), u16(type), u64(cookie), u32(payload.length), payload]);
}

/** Payloads of chunks. */
export const data = (offset: number, length: number, fill = 1) =>
  Buffer.concat([u64(offset), Buffer.alloc(length, fill)]);
export const hole = (offset: number, length: number) => Buffer.concat([u64(offset), u32(length)]);
export const status = (id: number, ...extents: [length: number, flags: number][]) =>
  Buffer.concat([u32(id), ...extents.flatMap(([length, flags]) => [u32(length), u32(flags)])]);
export const error = (number: number, message: string) =>
  Buffer.concat([u32(number), u16(message.length), Buffer.from(message)]);
