/** One HTTP/2 stream as frames in both directions, each at the pace of who takes them. */
import { constants, type Http2Stream } from "node:http2";
import { AppError } from "@mags/core";
import { FRAME, FRAME_HEADER_BYTES, MOST_JSON_BYTES, MOST_PAYLOAD_BYTES } from "./protocol.ts";

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

export interface Pipe {
  /** Aborted when the stream is over, however it came to its end. */
  readonly signal: AbortSignal;
  /** Waits until there is one. Null: the other side has ended its direction. @throws AppError `unavailable`, also for what is no frame */
  frame(): Promise<Frame | null>;
  /** Resolves when there is room for more. @throws AppError `unavailable` */
  writeFrame(type: number, ...pieces: readonly Uint8Array[]): Promise<void>;
  writeJson(type: number, value: unknown): Promise<void>;
  /** Ends this direction, and takes no notice of what still comes. */
  leave(): void;
  /** Gives both up: the other side sees a reset, or an end. May be repeated. */
  cut(): void;
}

/** @param lost  What is said when the other side is gone. */
export function createPipe(stream: Http2Stream, lost: () => AppError): Pipe {
  const over = new AbortController();
  const { signal } = over;
  let hasEnded = false;
  let wakeReader = () => {};
  const drained = new Set<() => void>();

  stream.on("readable", () => wakeReader());
  stream.on("end", () => {
    // A reset looks like an end, too.
    hasEnded = stream.rstCode === constants.NGHTTP2_NO_ERROR && !stream.aborted;
    wakeReader();
  });
  stream.on("drain", () => {
    for (const wake of drained) wake();
  });
  stream.on("error", () => {}); // the end follows, which is what counts
  const onOver = () => {
    if (signal.aborted) return;
    over.abort(lost());
    wakeReader();
    for (const wake of drained) wake();
  };
  stream.once("aborted", onOver);
  stream.once("close", onOver);
  if (stream.destroyed) onOver();

  async function exactly(count: number): Promise<Buffer | null> {
    if (count === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes: Buffer | null = stream.destroyed ? null : stream.read(count);
      if (bytes?.length === count) return bytes;
      if (bytes) throw violation("it ends within a frame");
      if (hasEnded) return null;
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        wakeReader = resolve;
      });
    }
  }

  async function write(...pieces: readonly Uint8Array[]): Promise<void> {
    signal.throwIfAborted();
    if (stream.writableEnded) throw lost();
    stream.cork();
    for (const piece of pieces) stream.write(piece);
    stream.uncork();
    while (stream.writableNeedDrain && !signal.aborted) await nextDrain();
    signal.throwIfAborted();
  }

  const nextDrain = () =>
    new Promise<void>((resolve) => {
      const wake = () => {
        drained.delete(wake);
        resolve();
      };
      drained.add(wake);
    });

  const writeFrame = (type: number, ...pieces: readonly Uint8Array[]) => {
    const header = Buffer.alloc(FRAME_HEADER_BYTES);
    header.writeUInt8(type, 0);
    header.writeUInt32BE(
      pieces.reduce((sum, piece) => sum + piece.length, 0),
      1,
    );
    return write(header, ...pieces);
  };

  return {
    signal,
    writeFrame,
    async frame() {
      const header = await exactly(FRAME_HEADER_BYTES);
      if (!header) return null;
      const [type, length] = [header.readUInt8(0), header.readUInt32BE(1)];
      if (length > (type === FRAME.head ? MOST_JSON_BYTES : MOST_PAYLOAD_BYTES)) throw violation("a frame is too long");
      const payload = await exactly(length);
      if (!payload) throw violation("it ends within a frame");
      return { type, payload };
    },
    writeJson: (type, value) => writeFrame(type, Buffer.from(JSON.stringify(value))),
    leave() {
      const discard = () => {
        while (!stream.destroyed && stream.read() !== null);
      };
      wakeReader = discard;
      discard();
      if (!signal.aborted) stream.end();
    },
    cut() {
      if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    },
  };
}

/** The other side does not keep to the protocol. */
export const violation = (what: string) =>
  new AppError("unavailable", `the other end breaks the edge protocol: ${what}`);
