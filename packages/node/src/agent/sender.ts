/** Bytes of one stream on their way to the guest: cut into records, held back by the guest's window. */
import type { DataHeader } from "./data.ts";
import { ProtocolViolation } from "./violation.ts";
import { MAX_RECORD_BYTES, MAX_UNACKED_RECORDS } from "./wire.ts";

/** With less window than this the sender waits rather than send slivers. */
const MIN_ROOM_BYTES = 16_384;
const INPUT_CHANNEL = 0;

export interface SenderPosition {
  readonly nextSeq: number;
  readonly nextOffset: number;
  readonly takenSeq: number;
  readonly takenOffset: number;
}

export interface Sender {
  /** Resolves when all of it was handed to the connection. The bytes belong to the stream from then on: do not reuse them. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing follows. */
  end(): Promise<void>;
  /** Known once OPEN was answered; nothing is sent before. */
  setWindow(bytes: number): void;
  readonly position: SenderPosition;
  /** Resolves when the guest has taken everything and the end. Rejects when it fails before. */
  readonly taken: Promise<void>;
  /** @throws ProtocolViolation */
  acknowledged(seq: number, offset: number): void;
  /** The next record, if there is one and the window has room for it. */
  next(): { readonly header: DataHeader; readonly bytes: Uint8Array } | undefined;
  /** Rejects what waits, and all later writes. */
  fail(error: Error): void;
}

interface Waiting {
  readonly bytes: Uint8Array;
  readonly fin: boolean;
  sent: number;
  readonly done: PromiseWithResolvers<void>;
}

const START: SenderPosition = { nextSeq: 0, nextOffset: 0, takenSeq: 0, takenOffset: 0 };

export function createSender(from: SenderPosition = START): Sender {
  let { nextSeq, nextOffset, takenSeq, takenOffset } = from;
  let windowBytes = 0;
  let ended = false;
  let failure: Error | undefined;
  let queue: Waiting[] = [];
  const taken = Promise.withResolvers<void>();
  taken.promise.catch(() => {}); // nobody has to wait for it

  function enqueue(bytes: Uint8Array, fin: boolean): Promise<void> {
    if (failure) return Promise.reject(failure);
    if (ended) return Promise.reject(new Error("the input of this stream was ended"));
    ended = fin;
    const waiting = { bytes, fin, sent: 0, done: Promise.withResolvers<void>() };
    queue.push(waiting);
    return waiting.done.promise;
  }

  return {
    write: (bytes) => (bytes.length === 0 ? Promise.resolve() : enqueue(bytes, false)),
    end: () => (ended && !failure ? Promise.resolve() : enqueue(new Uint8Array(0), true)),
    setWindow(bytes) {
      windowBytes = bytes;
    },
    get position() {
      return { nextSeq, nextOffset, takenSeq, takenOffset };
    },
    taken: taken.promise,
    acknowledged(seq, offset) {
      if (seq < takenSeq || seq > nextSeq || offset < takenOffset || offset > nextOffset)
        throw new ProtocolViolation("an acknowledgement of what was not sent");
      takenSeq = seq;
      takenOffset = offset;
      if (ended && queue.length === 0 && takenSeq === nextSeq) taken.resolve();
    },
    next() {
      const first = queue[0];
      if (!first || nextSeq - takenSeq >= MAX_UNACKED_RECORDS) return undefined;
      const left = first.bytes.length - first.sent;
      const room = windowBytes - (nextOffset - takenOffset);
      const length = Math.min(left, MAX_RECORD_BYTES, room);
      if (windowBytes === 0 || length < Math.min(left, MIN_ROOM_BYTES)) return undefined;
      const bytes = first.bytes.subarray(first.sent, first.sent + length);
      first.sent += length;
      const last = first.sent === first.bytes.length;
      const header = { channel: INPUT_CHANNEL, fin: first.fin && last, ageMs: 0, seq: nextSeq, offset: nextOffset };
      nextSeq++;
      nextOffset += length;
      if (last) {
        queue.shift();
        first.done.resolve();
      }
      return { header, bytes };
    },
    fail(error) {
      failure ??= error;
      taken.reject(failure);
      const dropped = queue;
      queue = [];
      for (const { done } of dropped) done.reject(failure);
    },
  };
}
