/** A command of a guest at one channel of a client: output, input, the end. */
import { constants } from "node:os";
import { messageOf } from "@mags/core";
import { type ExecAttachment, INPUT_WINDOW_BYTES } from "@mags/domain";
import type { ServerChannel } from "ssh2";
import type { OutputRoom } from "./output-room.ts";
import { createSender, type Sender } from "./sender.ts";

const FAILED_EXIT_CODE = 255;
/** What RFC 4254 section 6.10 has; of others the exit code is told. */
const SIGNALS = ["ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2"];
const NAMES = new Map(SIGNALS.map((name) => [constants.signals[`SIG${name}` as NodeJS.Signals], name]));

/** Resolves when the command has ended, or the client has left. */
export async function carry(
  channel: ServerChannel,
  attachment: ExecAttachment,
  options: {
    readonly room: OutputRoom;
    readonly terminal: boolean;
    /** Resolves when the client has left. */
    readonly gone: Promise<void>;
    readonly onUnwanted: (listener: () => void) => void;
  },
): Promise<void> {
  const sender = createSender(channel, options.room);
  const stopInput = carryInput(channel, attachment);
  // As when the reader of a pipe has gone.
  options.onUnwanted(() => {
    sender.dropOutput();
    attachment.signal(constants.signals.SIGPIPE);
  });
  const left = options.gone.then(() => {
    sender.leave();
    return false;
  });
  try {
    const ended = await Promise.race([carryOutput(channel, attachment, sender), left]);
    if (!ended) {
      attachment.hangUp();
      return;
    }
    tellEnd(channel, attachment, options);
    attachment.forget();
  } catch (error) {
    fail(channel, messageOf(error), options);
  } finally {
    stopInput();
    attachment.detach();
    channel.end();
  }
}

/** What cannot be done is said on the client's terminal, as programs do. */
export function fail(channel: ServerChannel, message: string, options: { readonly terminal: boolean }): void {
  if (!channel.writable) return;
  say(channel, message, options);
  channel.exit(FAILED_EXIT_CODE);
  channel.end();
}

export function say(channel: ServerChannel, message: string, { terminal }: { readonly terminal: boolean }): void {
  channel.stderr.write(`mags: ${message}${terminal ? "\r\n" : "\n"}`);
}

async function carryOutput(channel: ServerChannel, attachment: ExecAttachment, sender: Sender): Promise<boolean> {
  for (;;) {
    const outputs = await attachment.read();
    if (outputs.length === 0) return true;
    for (const { source, bytes, offset } of outputs) {
      await sender.send(source === "stderr" ? channel.stderr : channel, bytes);
      attachment.acknowledge(offset + bytes.length);
    }
  }
}

/** The client sends no more than the command takes: half a window is on its way at most. @returns  Ends it. */
function carryInput(channel: ServerChannel, attachment: ExecAttachment): () => void {
  let sent = attachment.inputOffset;
  let taken = attachment.inputTaken;
  let hasEnded = false;
  const isFull = () => sent - taken > INPUT_WINDOW_BYTES / 2;
  attachment.onInputTaken((offset) => {
    taken = offset;
    if (!isFull()) pump();
  });
  function pass(): void {
    while (!isFull()) {
      const bytes: Buffer | null = channel.read(Math.min(channel.readableLength, INPUT_WINDOW_BYTES / 4) || undefined);
      if (bytes === null) break;
      attachment.write({ offset: sent, bytes });
      sent += bytes.length;
    }
    if (channel.readableEnded) {
      hasEnded = true;
      attachment.endInput(sent);
    }
  }
  function pump(): void {
    if (hasEnded) return;
    try {
      pass();
    } catch {
      stop(); // who reads the output hears why
    }
  }
  function stop(): void {
    hasEnded = true;
    channel.off("readable", pump);
    channel.off("end", pump);
    // Only who reads all of it hears that the channel is closed.
    channel.resume();
  }
  channel.on("readable", pump);
  channel.on("end", pump);
  pump();
  return stop;
}

function tellEnd(channel: ServerChannel, { end }: ExecAttachment, options: { readonly terminal: boolean }): void {
  if (!end || !channel.writable) return;
  if (end.lost !== null) {
    fail(channel, end.lost, options); // with the code of a connection that breaks: no program ended with one
    return;
  }
  const name = end.signal === null ? undefined : NAMES.get(end.signal);
  if (name === undefined) channel.exit(end.exitCode);
  else channel.exit(name, false, "");
}
