/** An edge's hold on a command. Everything that is said of it is taken at once; output waits here, one window at most. */
import { AppError, isAppError } from "@mags/core";
import { type ExecAttachment, type ExecEnd, type ExecOutput, type ExecStart, INPUT_WINDOW_BYTES } from "@mags/domain";
import { offsetFrame, offsetOf, outputOf } from "./exec-frames.ts";
import { decode, parseJson } from "./json.ts";
import { End, errorOf, Failure } from "./messages.ts";
import { type Frame, type Pipe, violation } from "./pipe.ts";
import { FRAME, MOST_PAYLOAD_BYTES, OUTPUT_WINDOW_BYTES } from "./protocol.ts";

const MOST_WAITING_BYTES = OUTPUT_WINDOW_BYTES + 2 * MOST_PAYLOAD_BYTES;
const READ_BYTES = 256 * 1024;
/** Acknowledgements need not be told one by one. */
const ACKNOWLEDGE_BYTES = 64 * 1024;

export interface RemoteAttachmentOptions {
  readonly start: ExecStart;
  readonly inputOffset: number;
  readonly inputTaken: number;
}

export function createRemoteAttachment(
  pipe: Pipe,
  { start, inputOffset, inputTaken }: RemoteAttachmentOptions,
): ExecAttachment {
  const input = { offset: inputOffset, taken: inputTaken };
  const waiting: ExecOutput[] = [];
  let waitingBytes = 0;
  let acknowledged = 0;
  let end: ExecEnd | null = null;
  let failure: unknown;
  let hasLeft = false;
  let changed = Promise.withResolvers<void>();
  let takenListener = (_offset: number): void => {};
  let noticeListener = (_text: string): void => {};
  let takeOverListener = (_error: AppError): void => {};

  function wake(): void {
    changed.resolve();
    changed = Promise.withResolvers();
  }

  function take({ type, payload }: Frame): void {
    switch (type) {
      case FRAME.output: {
        const output = outputOf(payload);
        waiting.push(output);
        waitingBytes += output.bytes.length;
        if (waitingBytes > MOST_WAITING_BYTES) throw violation("it sends more output than was asked for");
        wake();
        break;
      }
      case FRAME.inputTaken:
        input.taken = Math.max(input.taken, offsetOf(payload));
        takenListener(input.taken);
        break;
      case FRAME.notice:
        noticeListener(payload.toString("utf8"));
        break;
      case FRAME.end:
        end = decode(End, parseJson(payload));
        wake();
        break;
      case FRAME.failed: {
        const error = errorOf(decode(Failure, parseJson(payload)));
        if (isAppError(error, "exec_taken_over")) takeOverListener(error);
        throw error;
      }
      default:
        throw violation(`frames of type ${type} are not known here`);
    }
  }

  async function follow(): Promise<void> {
    for (let frame = await pipe.frame(); frame; frame = await pipe.frame()) take(frame);
    if (!end) throw violation("a command has no end");
  }
  follow().catch((error: unknown) => {
    failure ??= error;
    pipe.cut();
    wake();
  });

  /** What cannot be sent any more is lost with the connection, of which `read` tells. */
  function send(type: number, ...pieces: readonly Uint8Array[]): void {
    if (!hasLeft && !pipe.signal.aborted) pipe.writeFrame(type, ...pieces).catch(() => {});
  }

  function needInput(offset: number): void {
    if (failure) throw failure;
    if (!start.stdin && !start.terminal)
      throw new AppError("validation_failed", "the command was started without stdin");
    if (offset > input.offset) throw new AppError("validation_failed", `input from byte ${input.offset} on is missing`);
  }

  return {
    execId: start.execId,
    get inputOffset() {
      return input.offset;
    },
    get inputTaken() {
      return input.taken;
    },
    get end() {
      return waiting.length === 0 ? end : null;
    },
    async read() {
      for (;;) {
        if (hasLeft) throw new AppError("exec_taken_over", "the client has left the command");
        const outputs: ExecOutput[] = [];
        for (let bytes = 0; waiting.length > 0 && bytes < READ_BYTES; ) {
          const output = waiting.shift() as ExecOutput; // there is one
          bytes += output.bytes.length;
          outputs.push(output);
        }
        waitingBytes -= outputs.reduce((sum, { bytes }) => sum + bytes.length, 0);
        if (outputs.length > 0 || end) return outputs;
        if (failure) throw failure;
        await changed.promise;
      }
    },
    acknowledge(offset) {
      if (offset - acknowledged < ACKNOWLEDGE_BYTES) return;
      acknowledged = offset;
      send(FRAME.acknowledged, offsetFrame(offset));
    },
    write({ offset, bytes }) {
      needInput(offset);
      const fresh = bytes.subarray(input.offset - offset);
      if (input.offset + fresh.length - input.taken > INPUT_WINDOW_BYTES)
        throw new AppError("validation_failed", "more input than the window allows");
      if (fresh.length === 0) return;
      send(FRAME.input, offsetFrame(input.offset), fresh);
      input.offset += fresh.length;
    },
    endInput(offset) {
      needInput(offset);
      send(FRAME.inputEnd, offsetFrame(offset));
    },
    onTakenOver(listener) {
      takeOverListener = listener;
    },
    onInputTaken(listener) {
      takenListener = listener;
    },
    onNotice(listener) {
      noticeListener = listener;
    },
    resize({ rows, cols }) {
      const size = Buffer.alloc(4);
      size.writeUInt16BE(rows, 0);
      size.writeUInt16BE(cols, 2);
      send(FRAME.resize, size);
    },
    signal: (signo) => send(FRAME.signal, Buffer.of(signo)),
    hangUp: () => send(FRAME.hangUp),
    forget: () => send(FRAME.forget),
    detach() {
      if (hasLeft) return;
      hasLeft = true;
      pipe.leave();
      wake();
    },
  };
}
