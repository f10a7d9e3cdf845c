/** A command of an edge, at the server: it is hung up when the edge has left without ending it, or is gone. */
import { AppError, isAppError, messageOf, untilAborted } from "@mags/core";
import type { ExecAttachment } from "@mags/domain";
import { inputOf, offsetFrame, offsetOf, outputHead } from "./exec-frames.ts";
import { decode } from "./json.ts";
import { Exec } from "./messages.ts";
import { type Frame, type Pipe, violation } from "./pipe.ts";
import { FRAME, OUTPUT_WINDOW_BYTES } from "./protocol.ts";
import type { ServerCall } from "./server-call.ts";

export async function serveExec(call: ServerCall): Promise<void> {
  const { asked, edge, upstream, pipe, signal, ending, answer } = call;
  const start = decode(Exec, asked);
  edge.check(start.guest, start.accountId);
  const attachment = await upstream.node.startExec({ ...start, endsWithClient: true });
  const hangUp = () => attachment.hangUp();
  signal.addEventListener("abort", hangUp);
  try {
    signal.throwIfAborted();
    await answer({ inputOffset: attachment.inputOffset, inputTaken: attachment.inputTaken });
    const window = createWindow();
    tellInput(attachment, pipe);
    const orders = takeOrders(attachment, { pipe, window });
    const isSent = await Promise.race([orders.then(() => false), sendOutput(attachment, { pipe, window, ending })]);
    if (isSent) await orders;
    else orders.catch(() => {}); // it ends with the pipe
  } catch (error) {
    hangUp();
    throw error;
  } finally {
    signal.removeEventListener("abort", hangUp);
    if (signal.aborted) hangUp();
    attachment.detach();
  }
}

/** Output is sent ahead of what was acknowledged, but not far: what else is said gets through to an edge that is behind. */
function createWindow() {
  let acknowledged = 0;
  let wake = () => {};
  return {
    move(offset: number) {
      acknowledged = Math.max(acknowledged, offset);
      wake();
    },
    async room(sent: number, signal: AbortSignal) {
      while (sent - acknowledged >= OUTPUT_WINDOW_BYTES) {
        const moved = Promise.withResolvers<void>();
        wake = moved.resolve;
        await untilAborted(moved.promise, signal);
      }
    },
  };
}

interface Sending {
  readonly pipe: Pipe;
  readonly window: ReturnType<typeof createWindow>;
}

/** @returns whether the end of the command was sent; else there will be none. */
async function sendOutput(
  attachment: ExecAttachment,
  { pipe, window, ending }: Sending & { readonly ending: AbortSignal },
): Promise<boolean> {
  let sent = 0;
  try {
    const signal = AbortSignal.any([pipe.signal, ending]);
    for (;;) {
      await window.room(sent, signal);
      const outputs = await untilAborted(attachment.read(), signal);
      if (outputs.length === 0) break;
      for (const output of outputs) {
        await pipe.writeFrame(FRAME.output, outputHead(output), output.bytes);
        sent = output.offset + output.bytes.length;
      }
    }
    await pipe.writeJson(FRAME.end, attachment.end);
    return true;
  } catch (error) {
    if (pipe.signal.aborted) throw error;
    const code = isAppError(error) ? error.code : "internal";
    await pipe.writeJson(FRAME.failed, { code, message: messageOf(error) });
    return false;
  }
}

/** How far input was taken is told as it is when the edge has room for it. */
function tellInput(attachment: ExecAttachment, pipe: Pipe): void {
  let taken = attachment.inputTaken;
  let told = taken;
  let isTelling = false;
  const tell = async () => {
    if (isTelling) return;
    isTelling = true;
    while (told < taken) {
      told = taken;
      await pipe.writeFrame(FRAME.inputTaken, offsetFrame(told));
    }
    isTelling = false;
  };
  attachment.onInputTaken((offset) => {
    taken = offset;
    tell().catch(() => {}); // the edge has left
  });
  attachment.onNotice((text) => {
    pipe.writeFrame(FRAME.notice, Buffer.from(text)).catch(() => {}); // the edge has left
  });
}

/** Resolves when the edge has said all that it will. */
async function takeOrders(attachment: ExecAttachment, { pipe, window }: Sending): Promise<void> {
  for (let frame = await pipe.frame(); frame; frame = await pipe.frame()) obey(frame, { attachment, window });
}

function obey(
  { type, payload }: Frame,
  { attachment, window }: { readonly attachment: ExecAttachment; readonly window: Sending["window"] },
): void {
  switch (type) {
    case FRAME.input:
      attachment.write(inputOf(payload));
      break;
    case FRAME.inputEnd:
      attachment.endInput(offsetOf(payload));
      break;
    case FRAME.acknowledged: {
      const offset = offsetOf(payload);
      attachment.acknowledge(offset);
      window.move(offset);
      break;
    }
    case FRAME.resize:
      if (payload.length !== 4) throw violation("a size has two numbers");
      attachment.resize({ rows: payload.readUInt16BE(0), cols: payload.readUInt16BE(2) });
      break;
    case FRAME.signal:
      if (payload.length !== 1 || payload[0] === 0 || (payload[0] ?? 0) > 64)
        throw new AppError("validation_failed", "there is no such signal");
      attachment.signal(payload.readUInt8(0));
      break;
    case FRAME.hangUp:
      attachment.hangUp();
      break;
    case FRAME.forget:
      attachment.forget();
      break;
    default:
      throw violation(`frames of type ${type} are not known here`);
  }
}
