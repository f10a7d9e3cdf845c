/** A client that says exactly what a test wants, over a socket. */
import { connect } from "node:net";
import { type ByteReader, createByteReader } from "../src/protocol/byte-reader.ts";
import { countedText, encodeOption, OPTION_REPLY_HEADER_BYTES, u16, u32 } from "../src/protocol/options.ts";
import { CHUNK_LENGTH_BYTES, decodeReplyStart, REPLY_START_BYTES } from "../src/protocol/replies.ts";
import { encodeRequest, type NbdRequest } from "../src/protocol/requests.ts";

export interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

export interface RawReply {
  readonly kind: "simple" | "chunk";
  readonly cookie: bigint;
  /** Of a simple reply. */
  readonly error?: number;
  /** Of a chunk. */
  readonly type?: number;
  readonly done?: boolean;
  readonly payload?: Buffer;
}

export interface RawClient extends AsyncDisposable {
  readonly reader: ByteReader;
  write(bytes: Buffer): void;
  /** Sends an option and gives its replies: as many as are asked for. */
  option(option: number, data?: Buffer, replies?: number): Promise<OptionReply[]>;
  request(request: Partial<NbdRequest> & Pick<NbdRequest, "type">): void;
  reply(): Promise<RawReply>;
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<void>;
}

/** Connects; the greeting is read, and nothing is sent yet. */
export async function connectRaw(path: string): Promise<RawClient> {
  const socket = connect(path);
  socket.on("error", () => {}); // the server may close while something is sent; "close" follows
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const reader = createByteReader(socket);
  await reader.take(18);
  return {
    reader,
    write: (bytes) => void socket.write(bytes),
    async option(option, data = Buffer.alloc(0), replies = 1) {
      socket.write(encodeOption(option, data));
      const answers: OptionReply[] = [];
      while (answers.length < replies) {
        const header = await reader.take(OPTION_REPLY_HEADER_BYTES);
        answers.push({ type: header.readUInt32BE(12), data: await reader.take(header.readUInt32BE(16)) });
      }
      return answers;
    },
    request: (request) => void socket.write(encodeRequest({ flags: 0, cookie: 7n, offset: 0, length: 0, ...request })),
    async reply() {
      const start = decodeReplyStart(await reader.take(REPLY_START_BYTES));
      if (start.kind === "simple") return start;
      const payload = await reader.take((await reader.take(CHUNK_LENGTH_BYTES)).readUInt32BE());
      return { ...start, payload: Buffer.from(payload) };
    },
    closed,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed;
    },
  };
}

/** Data of INFO and GO, and of LIST_META_CONTEXT and SET_META_CONTEXT. */
export const goName = (name: string) => Buffer.concat([countedText(name), u16(1), u16(3)]);
export const contextQuery = (name: string, ...queries: string[]) =>
  Buffer.concat([countedText(name), u32(queries.length), ...queries.map(countedText)]);
