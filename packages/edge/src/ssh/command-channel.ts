/** A command of a guest at one channel of a client: output, input, the end. */
import { constants } from "node:os";
import { messageOf } from "@mags/core";
import { type ExecAttachment, INPUT_WINDOW_BYTES } from "@mags/domain";
import type { ServerChannel } from "ssh2";
import type { OutputRoom } from "./output-room.ts";

const FAILED_EXIT_CODE = 255;
const NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/** Resolves when the command has ended, or the client has left. */
export async function carry(
  channel: ServerChannel,
  attachment: ExecAttachment,
  options: {
    readonly room: OutputRoom;
    readonly terminal: boolean;
    /** Resolves when the client has left. */
    readonly gone: Promise<void>;
  },
): Promise<void> {
  carryInput(channel, attachment);
  try {
    const ended = await Promise.race([carryOutput(channel, attachment, options.room), options.gone.then(() => false)]);
    if (!ended) {
      attachment.hangUp();
      return;
    }
    tellEnd(channel, attachment, options);
    attachment.forget();
  } catch (error) {
    fail(channel, messageOf(error), options);
  } finally {
    attachment.detach();
    channel.end();
  }
}

/** What cannot be done is said on the client's terminal, as programs do. */
export function fail(channel: ServerChannel, message: string, { terminal }: { readonly terminal: boolean }): void {
  if (!channel.writable) return;
  channel.stderr.write(`mags: ${message}${terminal ? "\r\n" : "\n"}`);
  channel.exit(FAILED_EXIT_CODE);
  channel.end();
}

async function carryOutput(channel: ServerChannel, attachment: ExecAttachment, room: OutputRoom): Promise<boolean> {
  for (;;) {
    const outputs = await attachment.read();
    if (outputs.length === 0) return true;
    for (const { source, bytes, offset } of outputs) {
      await room.wait();
      const to = source === "stderr" ? channel.stderr : channel;
      // Its answer comes when the client's window has taken it.
      if (!to.write(bytes)) await drained(channel, to);
      attachment.acknowledge(offset + bytes.length);
    }
  }
}

function drained(channel: ServerChannel, stream: NodeJS.WritableStream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      channel.off("close", done);
      stream.off("drain", done);
      resolve();
    };
    channel.once("close", done);
    stream.once("drain", done);
  });
}

/** The client sends no more than the command takes: half a window is on its way at most. */
function carryInput(channel: ServerChannel, attachment: ExecAttachment): void {
  let sent = attachment.inputOffset;
  let taken = attachment.inputTaken;
  let endsAt: number | undefined;
  const isFull = () => sent - taken > INPUT_WINDOW_BYTES / 2;
  attachment.onInputTaken((offset) => {
    taken = offset;
    if (!isFull()) pump();
  });
  function pump(): void {
    while (!isFull()) {
      const bytes: Buffer | null = channel.read(Math.min(channel.readableLength, INPUT_WINDOW_BYTES / 4) || undefined);
      if (bytes === null) break;
      attachment.write({ offset: sent, bytes });
      sent += bytes.length;
    }
    if (endsAt === undefined && channel.readableEnded) {
      endsAt = sent;
      attachment.endInput(sent);
    }
  }
  channel.on("readable", pump);
  channel.on("end", pump);
  pump();
}

function tellEnd(channel: ServerChannel, { end }: ExecAttachment, options: { readonly terminal: boolean }): void {
  if (!end || !channel.writable) return;
  if (end.lost !== null) {
    fail(channel, end.lost, options); // with the code of a connection that breaks: no program ended with one
    return;
  }
  const name = end.signal === null ? undefined : NAMES.get(end.signal);
  if (name === undefined) channel.exit(end.exitCode);
  else channel.exit(name.replace(/^SIG/, ""), false, "");
}
