/**
 * A streamed command with this process's input, output, terminal and signals. A terminal that was made raw is given back
 * as it was, however this ends.
 */
import type { ExecExit, ExecStream } from "../sdk/exec-stream.ts";
import type { Mags } from "../sdk/mags.ts";
import { type Cli, type Input, note } from "./cli.ts";
import { createPrinter } from "./job-output.ts";

export interface RemoteCommand {
  /** Undefined: a login shell. */
  readonly command: string | undefined;
  /** Default: when standard input and output are terminals. */
  readonly tty?: boolean | undefined;
  /** Pass on standard input. Default: when it is no terminal, or there is a remote one. */
  readonly stdin?: boolean | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
}

const EXIT_CODE = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** @returns the exit code. */
export async function runRemotely(cli: Cli, mags: Mags, name: string, remote: RemoteCommand): Promise<number> {
  const input = cli.stdin();
  const isLocal = input.isTTY === true;
  const tty = remote.tty ?? (isLocal && cli.stdout.isTerminal);
  const stdin = remote.stdin || tty || !isLocal;
  let told = false;
  const stream = mags.execStream(name, remote.command, {
    tty: tty ? { ...cli.terminal.size(), term: cli.env.TERM || "xterm" } : undefined,
    stdin,
    environment: remote.environment,
    timeout: remote.timeout,
    onConnectionLost(error) {
      if (!told) note(cli, `${error.message}; trying again`).catch(() => {});
      told = true;
    },
    onNotice: (text) => void note(cli, `mags: ${text}`).catch(() => {}),
  });
  const undo: (() => void)[] = [];
  const giveBack = () => {
    for (const step of undo.splice(0)) step();
  };
  try {
    if (tty && isLocal) undo.push(makeRaw(input));
    if (tty) undo.push(cli.terminal.onResize(() => stream.resize(cli.terminal.size())));
    undo.push(passSignals(cli, stream, { tty, giveBack }));
    if (stdin) undo.push(passInput(input, stream));
    const exit = await passOutput(cli, stream);
    giveBack();
    if (exit.timedOut) await note(cli, "mags: the command took too long and was ended; give it more with --timeout");
    else if (exit.reason !== undefined) await note(cli, `mags: ${exit.reason}`);
    return exit.exitCode;
  } finally {
    giveBack();
  }
}

function makeRaw(input: Input): () => void {
  input.setRawMode?.(true);
  return () => input.setRawMode?.(false);
}

async function passOutput(cli: Cli, stream: ExecStream): Promise<ExecExit> {
  const printer = createPrinter(cli);
  for await (const { source, bytes } of stream)
    try {
      await printer.piece(source, bytes);
    } catch (error) {
      // Nobody takes the output any more: end the command, as a local one would end. Leaving the loop would only let go of it.
      await stream.hangUp();
      throw error;
    }
  return stream.ended;
}

/** Reads no faster than the command takes. */
function passInput(input: Input, stream: ExecStream): () => void {
  const onData = (chunk: Buffer) => {
    input.pause();
    stream.write(chunk).then(() => input.resume());
  };
  const onEnd = () => stream.end();
  input.on("data", onData).on("end", onEnd).on("error", onEnd);
  return () => {
    input.off("data", onData).off("end", onEnd).off("error", onEnd);
    input.pause();
  };
}

/**
 * Without a remote terminal the first SIGINT or SIGTERM goes to the remote process group. The second one, the loss of the
 * own terminal, and with a remote terminal (where Ctrl-C is a character) any signal leave.
 */
function passSignals(
  cli: Cli,
  stream: ExecStream,
  { tty, giveBack }: { readonly tty: boolean; readonly giveBack: () => void },
): () => void {
  let running = false;
  let signalled = false;
  stream.started.then(
    () => {
      running = true;
    },
    () => {}, // told by the output
  );
  const leave = (signal: keyof typeof EXIT_CODE) => {
    giveBack();
    void stream.hangUp().finally(() => cli.exit(EXIT_CODE[signal]));
  };
  const listeners = (Object.keys(EXIT_CODE) as (keyof typeof EXIT_CODE)[]).map((signal) => {
    const listener = () => {
      if (tty || signalled || !running || signal === "SIGHUP") return leave(signal);
      signalled = true;
      stream.kill(signal);
    };
    cli.signals.on(signal, listener);
    return () => void cli.signals.off(signal, listener);
  });
  return () => {
    for (const off of listeners) off();
  };
}
