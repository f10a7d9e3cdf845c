/**
 * Input of one command on its way to the guest. It is kept here until the command has taken it, so that a guest that
 * sleeps meanwhile, or whose connection breaks, gets it again from where it was.
 */
import { AppError } from "@mags/core";
import { INPUT_WINDOW_BYTES } from "@mags/domain";
import type { AgentStream } from "../agent/index.ts";

export interface ExecInput {
  /** Bytes that came. */
  readonly offset: number;
  /** Bytes that the command has taken. */
  readonly taken: number;
  /** There is something that the guest does not have. */
  readonly waiting: boolean;
  /** @throws AppError `validation_failed` */
  write(input: { readonly offset: number; readonly bytes: Uint8Array }): void;
  /** @throws AppError `validation_failed` */
  end(offset: number): void;
  /** Goes on with this stream, from where the guest says it is. */
  attach(stream: AgentStream): void;
  /** The stream's connection is gone. */
  release(): void;
  /** The guest has told what the command took. */
  noteTaken(offset: number): void;
}

export interface ExecInputOptions {
  readonly accepts: boolean;
  /** Number of the record with which the end was sent, as far as it was sent by an earlier process. */
  readonly endSeq: number | null;
  /** Keeps that number; the end is sent only then. */
  readonly keepEndSeq: (seq: number | null) => Promise<void>;
  readonly onTaken: (offset: number) => void;
}

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export function createExecInput(options: ExecInputOptions): ExecInput {
  let received = 0;
  let taken = 0;
  let pieces: Piece[] = [];
  let endAt: number | null = null;
  let endSeq = options.endSeq;
  /** The guest's, as soon as there is one; `stream`, when it may be written to. */
  let attached: AgentStream | null = null;
  let stream: AgentStream | null = null;
  /** Settles when the guest was sent what came so far. */
  let sent: Promise<unknown> = Promise.resolve();

  function send(piece: Piece): void {
    // A command may end without reading its input: that is its own affair.
    if (stream) sent = stream.write(piece.bytes).catch(() => {});
  }

  async function sendEnd(): Promise<void> {
    const current = stream;
    if (!current) return;
    await sent;
    if (stream !== current) return;
    endSeq = current.input.nextSeq;
    await options.keepEndSeq(endSeq);
    if (stream === current) await current.endInput().catch(() => {});
  }

  /** Sends what the guest does not have. */
  function goOn(next: AgentStream): void {
    if (attached !== next) return;
    stream = next;
    const { nextOffset } = next.input;
    for (const { offset, bytes } of pieces) {
      const skip = Math.max(0, nextOffset - offset);
      if (skip < bytes.length) send({ offset: offset + skip, bytes: bytes.subarray(skip) });
    }
    if (endAt !== null) void sendEnd();
  }

  function noteTaken(offset: number): void {
    if (offset <= taken) return;
    taken = offset;
    pieces = pieces.filter((piece) => piece.offset + piece.bytes.length > offset);
    options.onTaken(offset);
  }

  return {
    get offset() {
      return received;
    },
    get taken() {
      return taken;
    },
    get waiting() {
      return attached === null && (pieces.length > 0 || endAt !== null);
    },
    write({ offset, bytes }) {
      if (!options.accepts) throw new AppError("validation_failed", "the command was started without stdin");
      if (offset > received)
        throw new AppError("validation_failed", `input from byte ${received} on is missing: ${offset} came`);
      const fresh = bytes.subarray(received - offset);
      if (fresh.length === 0) return;
      if (endAt !== null) throw new AppError("validation_failed", "input after the end of input");
      if (received + fresh.length - taken > INPUT_WINDOW_BYTES)
        throw new AppError("validation_failed", `more than ${INPUT_WINDOW_BYTES} bytes of input wait already`);
      const piece = { offset: received, bytes: fresh };
      received += fresh.length;
      pieces.push(piece);
      send(piece);
    },
    end(offset) {
      if (endAt !== null || !options.accepts) return;
      if (offset !== received)
        throw new AppError("validation_failed", `input ends after ${offset} bytes, but ${received} came`);
      endAt = offset;
      void sendEnd();
    },
    attach(next) {
      attached = next;
      const { nextSeq, nextOffset, takenOffset } = next.input;
      noteTaken(takenOffset);
      received = Math.max(received, nextOffset);
      if (endSeq !== null && nextSeq > endSeq) {
        stream = next;
        endAt = nextOffset;
        return;
      }
      if (endSeq === null) return goOn(next);
      // It was not sent: the record of that number will be another one.
      endSeq = null;
      void options.keepEndSeq(null).then(() => goOn(next));
    },
    release() {
      attached = null;
      stream = null;
    },
    noteTaken,
  };
}
