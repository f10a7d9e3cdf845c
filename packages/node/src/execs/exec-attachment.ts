/** A client's hold on a command: reads its output in order, at the client's pace, and passes on what the client does. */
import { AppError } from "@mags/core";
import type { ExecAttachment, ExecId, TerminalSize } from "@mags/domain";
import type { ExecInput } from "./exec-input.ts";
import type { ExecRecord } from "./exec-record.ts";
import type { Spool } from "./spool.ts";
import { createSpoolReader } from "./spool-reader.ts";

export interface AttachmentDeps {
  readonly spool: Spool;
  readonly input: ExecInput;
  readonly record: () => ExecRecord;
  readonly touch: () => void;
}

export interface AttachmentOptions {
  readonly execId: ExecId;
  readonly offset: number;
  readonly onAcknowledged: () => void;
  /** There is input that the guest does not have. */
  readonly onInput: () => void;
  readonly onResize: (size: TerminalSize) => void;
  readonly onSignal: (signo: number) => void;
  readonly onHangUp: () => void;
  readonly onForget: () => void;
  readonly onDetach: () => void;
}

/** As the command holds it. */
export interface HeldAttachment extends ExecAttachment {
  /** There is more to read, or the end is known. */
  wake(): void;
  tellTaken(offset: number): void;
  tellNotice(text: string): void;
  /** Another client takes its place. */
  takeOver(): void;
  /** The server ends. */
  close(): void;
  /** Resolves when it uses no file any more. */
  readonly closed: Promise<void>;
}

/** @throws AppError `validation_failed` when there is no output from `offset` on. */
export function createAttachment(deps: AttachmentDeps, options: AttachmentOptions): HeldAttachment {
  const { spool, input, record } = deps;
  const { execId } = options;
  if (options.offset < spool.startOffset || options.offset > spool.endOffset)
    throw new AppError(
      "validation_failed",
      `the output of exec ${execId} from byte ${options.offset} on is not there: bytes ${spool.startOffset} to ${spool.endOffset} are`,
    );
  const reader = createSpoolReader(spool, options.offset);
  const closed = Promise.withResolvers<void>();
  let changed = Promise.withResolvers<void>();
  let failure: AppError | undefined;
  let reading = false;
  let takenListener = (_offset: number): void => {};
  let noticeListener = (_text: string): void => {};
  let takeOverListener = (_error: AppError): void => {};

  function wake(): void {
    changed.resolve();
    changed = Promise.withResolvers();
  }

  function end(error: AppError): void {
    if (failure) return;
    failure = error;
    wake();
    if (!reading) release();
  }

  function release(): void {
    Promise.resolve(reader[Symbol.asyncDispose]()).then(closed.resolve, closed.resolve);
  }

  /** Does nothing any more when the hold is lost. */
  function held<A extends unknown[]>(act: (...args: A) => void): (...args: A) => void {
    return (...args) => void (failure || act(...args));
  }

  return {
    execId,
    wake,
    closed: closed.promise,
    tellTaken: (offset) => takenListener(offset),
    tellNotice: (text) => noticeListener(text),
    takeOver() {
      const error = new AppError("exec_taken_over", "another client took the command over");
      end(error);
      takeOverListener(error);
    },
    close: () => end(new AppError("unavailable", "the server is shutting down")),
    get inputOffset() {
      return input.offset;
    },
    get inputTaken() {
      return input.taken;
    },
    get end() {
      return record().end;
    },
    async read() {
      reading = true;
      try {
        for (;;) {
          if (failure) throw failure;
          const { promise } = changed;
          const isOver = record().end !== null;
          const outputs = await reader.read();
          if (outputs.length > 0 || isOver) return outputs;
          await promise;
        }
      } finally {
        reading = false;
        if (failure) release();
      }
    },
    acknowledge(offset) {
      if (failure) return;
      spool.acknowledge(Math.min(offset, reader.offset));
      options.onAcknowledged();
    },
    write(piece) {
      if (failure) throw failure;
      input.write(piece);
      deps.touch();
      if (input.waiting) options.onInput();
    },
    endInput(offset) {
      if (failure) throw failure;
      input.end(offset);
      if (input.waiting) options.onInput();
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
    resize: held(options.onResize),
    signal: held(options.onSignal),
    hangUp: held(options.onHangUp),
    forget: held(options.onForget),
    detach() {
      end(new AppError("exec_taken_over", "the client has left the command"));
      options.onDetach();
    },
  };
}
