/** Records of one stream on their way from the guest: order, window, acknowledgement. */
import type { Data } from "./data.ts";
import { ProtocolViolation } from "./violation.ts";
import { MAX_UNACKED_RECORDS } from "./wire.ts";

/** A piece of output, cut anywhere, with at most 65 512 bytes; empty only when `fin` is set. */
export type StreamRecord = Data;

export interface Receiver {
  /** The record, or undefined when it is one that was taken before. @throws ProtocolViolation */
  accept(data: Data): StreamRecord | undefined;
  /** Number of the first record that is wanted. */
  readonly fromSeq: number;
  /** Notes what was acknowledged. @returns false when that was known already. */
  acknowledge(seq: number, offset: number): boolean;
  /** Number of the next record, and the bytes before it. */
  readonly nextSeq: number;
  readonly nextOffset: number;
  readonly unackedBytes: number;
  readonly unackedRecords: number;
}

export interface ReceiverOptions {
  readonly channels: readonly number[];
  readonly windowBytes: number;
  /** Number of the first record that is wanted: earlier ones are dropped. Default 0. */
  readonly fromSeq?: number;
}

export function createReceiver(options: ReceiverOptions): Receiver {
  const ended = new Set<number>();
  const fromSeq = options.fromSeq ?? 0;
  let nextSeq = fromSeq;
  /** Not known before the first record of a stream that is taken up in the middle. */
  let nextOffset: number | undefined = nextSeq === 0 ? 0 : undefined;
  let ackedSeq = nextSeq;
  let ackedOffset = nextOffset;

  function check({ channel, fin, bytes }: Data): void {
    if (!options.channels.includes(channel)) throw new ProtocolViolation(`a record on channel ${channel}`);
    if (ended.has(channel)) throw new ProtocolViolation("a record after the end of its channel");
    if (bytes.length === 0 && !fin) throw new ProtocolViolation("an empty record");
    if (fin) ended.add(channel);
  }

  const receiver: Receiver = {
    fromSeq,
    accept(data) {
      if (data.seq < nextSeq) return undefined;
      if (data.seq > nextSeq) throw new ProtocolViolation(`record ${nextSeq} is missing`);
      nextOffset ??= data.offset;
      ackedOffset ??= data.offset;
      if (data.offset !== nextOffset) throw new ProtocolViolation(`record ${nextSeq} has the wrong offset`);
      check(data);
      nextSeq++;
      nextOffset += data.bytes.length;
      if (receiver.unackedBytes > options.windowBytes) throw new ProtocolViolation("more bytes than the window allows");
      // One more for the end of a channel, which costs no window.
      if (receiver.unackedRecords > MAX_UNACKED_RECORDS + 1)
        throw new ProtocolViolation(`more than ${MAX_UNACKED_RECORDS} records that were not acknowledged`);
      return data;
    },
    acknowledge(seq, offset) {
      if (seq <= ackedSeq) return false;
      ackedSeq = seq;
      ackedOffset = offset;
      return true;
    },
    get nextSeq() {
      return nextSeq;
    },
    get nextOffset() {
      return nextOffset ?? 0;
    },
    get unackedBytes() {
      return (nextOffset ?? 0) - (ackedOffset ?? 0);
    },
    get unackedRecords() {
      return nextSeq - ackedSeq;
    },
  };
  return receiver;
}
