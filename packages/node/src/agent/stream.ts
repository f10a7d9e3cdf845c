/**
 * One stream as the host sees it. Users hold an AgentStream; the connection holds the same object as a StreamPeer and
 * feeds it what the guest sends.
 */
import { AppError, messageOf } from "@mags/core";
import type { Data } from "./data.ts";
import { type FieldReader, required } from "./fields.ts";
import type { Receiver, StreamRecord } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import type { StreamEnd } from "./stream-end.ts";
import { ProtocolViolation } from "./violation.ts";
import { MAX_UNACKED_RECORDS, MAX_WINDOW_BYTES, TAG } from "./wire.ts";

export interface AgentStream {
  readonly id: number;
  /** The guest has opened it. Rejects with AppError `guest_failed` (`details.failure`) when it could not. */
  readonly opened: Promise<StreamOpened>;
  /**
   * Resolves when the stream is over and every record was delivered. Rejects when it could not be opened, was closed, or
   * the connection ended before.
   */
  readonly ended: Promise<StreamEnd>;
  /** Number of the next record that will be delivered. */
  readonly nextSeq: number;
  /**
   * The guest may forget all records below `seq`, which hold the first `offset` bytes. For streams opened with `keep` or
   * `paced`.
   */
  ack(seq: number, offset: number): void;
  /**
   * Resolves when all of it was sent, which waits while the guest's window is full. The bytes must not change
   * afterwards. Rejects when the stream ends before.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** What was sent of the input, and what of it the guest has confirmed as taken. */
  readonly input: InputPosition;
  /** Resolves when the guest has taken all of the input and its end. Rejects when the stream ends before. */
  readonly inputTaken: Promise<void>;
  /** Nothing more will be written: end of file for a process, a finished file, a half-closed socket. */
  endInput(): Promise<void>;
  /** Sends a signal to the process group. */
  signal(signo: number): void;
  resize(size: { readonly rows: number; readonly cols: number }): void;
  /** Gives the stream up: the guest ends what is left of it and forgets it. May be repeated. */
  close(): void;
}

export interface StreamOpened {
  /** Of a command. */
  readonly pid: number | null;
  /** On which a `listen` has its connections come in. */
  readonly port: number | null;
}

export interface InputPosition {
  /** Number of the next record, and the bytes before it. */
  readonly nextSeq: number;
  readonly nextOffset: number;
  readonly takenOffset: number;
}

export interface StreamPeer {
  readonly stream: AgentStream;
  readonly sender: Sender;
  /** The guest has taken that much of the input. @throws ProtocolViolation */
  inputTaken(seq: number, offset: number): void;
  /** @throws ProtocolViolation */
  openReply(fields: FieldReader): void;
  /** Instead of an OPEN reply, for a stream of an earlier host. */
  resumed(stream: { readonly windowBytes: number; readonly pid: number | null }): void;
  data(data: Data): void;
  /** @throws ProtocolViolation */
  end(end: StreamEnd): void;
  fail(error: Error): void;
}

export interface StreamDeps {
  readonly id: number;
  readonly receiver: Receiver;
  readonly sender: Sender;
  readonly windowBytes: number;
  readonly keep: boolean;
  /** Whoever opened it acknowledges. */
  readonly paced: boolean;
  readonly onRecord: (record: StreamRecord) => void;
  readonly onInputTaken: (offset: number) => void;
  /** Tells the guest. */
  readonly sendAck: (seq: number, offset: number) => void;
  readonly sendSignal: (signo: number) => void;
  readonly sendResize: (size: { readonly rows: number; readonly cols: number }) => void;
  readonly sendClose: () => void;
  /** The guest says that it lives. @throws ProtocolViolation when it cannot be so. */
  readonly onOpened: (what: StreamOpened) => void;
  /** There may be something to send. */
  readonly pump: () => void;
  /** A user's callback threw: a fault of the host, not of the guest. */
  readonly onCallbackError: (message: string) => void;
}

export function createStream(deps: StreamDeps): StreamPeer {
  const { id, receiver, sender } = deps;
  const opened = Promise.withResolvers<StreamOpened>();
  const ended = Promise.withResolvers<StreamEnd>();
  // Whoever waits sees the rejection; nobody has to.
  opened.promise.catch(() => {});
  ended.promise.catch(() => {});
  let end: StreamEnd | undefined;
  let begun = false;
  let over = false;

  function fail(error: Error): void {
    if (over) return;
    over = true;
    opened.reject(error);
    ended.reject(error);
    sender.fail(error);
  }

  function close(): void {
    deps.sendClose();
    fail(new AppError("guest_failed", "the stream to the guest was closed"));
  }

  function acknowledge(seq: number, offset: number): void {
    if (receiver.acknowledge(seq, offset)) deps.sendAck(seq, offset);
  }

  function endWhenDelivered(): void {
    if (!end || over) return;
    if (receiver.nextSeq > end.sent) throw new ProtocolViolation("a stream ended before records that it sent");
    if (receiver.nextSeq < end.sent) return;
    over = true;
    ended.resolve(end);
    sender.fail(new AppError("guest_failed", "the stream in the guest has ended"));
    // A kept stream's end is forgotten only when its owner has stored it.
    if (!deps.keep) deps.sendClose();
  }

  function begin(windowBytes: number, what: StreamOpened): void {
    deps.onOpened(what);
    begun = true;
    sender.setWindow(windowBytes);
    opened.resolve(what);
    deps.pump();
  }

  function acknowledgeTaken(): void {
    const due = receiver.unackedBytes >= deps.windowBytes / 4 || receiver.unackedRecords >= MAX_UNACKED_RECORDS / 4;
    if (due) acknowledge(receiver.nextSeq, receiver.nextOffset);
  }

  return {
    sender,
    stream: {
      id,
      opened: opened.promise,
      ended: ended.promise,
      get nextSeq() {
        return receiver.nextSeq;
      },
      ack(seq, offset) {
        if (!over || deps.keep) acknowledge(seq, offset);
      },
      write(bytes) {
        const done = sender.write(bytes);
        deps.pump();
        return done;
      },
      get input() {
        return sender.position;
      },
      inputTaken: sender.taken,
      endInput() {
        const done = sender.end();
        deps.pump();
        return done;
      },
      signal(signo) {
        if (!over) deps.sendSignal(signo);
      },
      resize(size) {
        if (!over) deps.sendResize(size);
      },
      close,
    },
    inputTaken(seq, offset) {
      sender.acknowledged(seq, offset);
      deps.onInputTaken(offset);
    },
    openReply(fields) {
      const windowBytes = required(fields.u32(TAG.window), "WINDOW");
      if (windowBytes === 0 || windowBytes > MAX_WINDOW_BYTES)
        throw new ProtocolViolation(`a window of ${windowBytes}`);
      begin(windowBytes, { pid: fields.u32(TAG.pid) ?? null, port: fields.u16(TAG.port) ?? null });
    },
    resumed: ({ windowBytes, pid }) => begin(windowBytes, { pid, port: null }),
    data(data) {
      if (over) {
        // Records whose acknowledgement was lost come again, also when the end is known already.
        if (end && data.seq >= end.sent) throw new ProtocolViolation("a record after the end of its stream");
        return;
      }
      const record = receiver.accept(data);
      if (!record) {
        // The last that was stored already: its acknowledgement was lost, and the guest may wait for it.
        if (data.seq + 1 === receiver.fromSeq) deps.sendAck(receiver.fromSeq, data.offset + data.bytes.length);
        return;
      }
      try {
        deps.onRecord(record);
      } catch (error) {
        if (error instanceof ProtocolViolation) throw error;
        deps.onCallbackError(messageOf(error));
        close();
        return;
      }
      if (!deps.paced) acknowledgeTaken();
      endWhenDelivered();
    },
    end(how) {
      // Both come over one port; who waits for the opening would otherwise wait for ever.
      if (!begun) throw new ProtocolViolation("a stream ended before it was opened");
      if (end) throw new ProtocolViolation("a stream ended twice");
      end = how;
      endWhenDelivered();
    },
    fail,
  };
}
