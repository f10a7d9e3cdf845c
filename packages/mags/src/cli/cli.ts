import type { Readable } from "node:stream";
import type { Environment } from "../sdk/settings.ts";
import type { Output } from "./output.ts";
import { createStyles, type Styles } from "./styles.ts";

/** The world of one invocation, so that commands touch no globals. */
export interface Cli {
  readonly env: Environment;
  readonly home: string;
  /** Standard input; opened at the first call, so that commands without need of it leave it alone. */
  stdin(): Input;
  readonly stdout: Output;
  readonly stderr: Output;
  /** For what goes to standard output and to standard error. */
  readonly styles: { readonly stdout: Styles; readonly stderr: Styles };
  /** What standard output is shown on, if it is a terminal. */
  readonly terminal: Terminal;
  /** Where signals are heard. */
  readonly signals: SignalSource;
  /** Wall clock, ms. */
  now(): number;
  /** Ends the process at once, whatever is unwritten. */
  exit(code: number): void;
}

export type Input = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };

export interface Terminal {
  size(): { readonly rows: number; readonly cols: number };
  /** @returns what ends it. */
  onResize(listener: () => void): () => void;
}

export interface SignalSource {
  on(signal: "SIGINT" | "SIGTERM" | "SIGHUP", listener: () => void): unknown;
  off(signal: "SIGINT" | "SIGTERM" | "SIGHUP", listener: () => void): unknown;
}

export function createCli(parts: Omit<Cli, "styles">): Cli {
  return {
    ...parts,
    styles: {
      stdout: createStyles(parts.stdout.isTerminal, parts.env),
      stderr: createStyles(parts.stderr.isTerminal, parts.env),
    },
  };
}

/** One line of text, or one JSON object, on standard output. */
export async function print(cli: Cli, line: string): Promise<void> {
  await cli.stdout.write(`${line}\n`);
}

export async function printJson(cli: Cli, value: unknown): Promise<void> {
  await print(cli, JSON.stringify(value));
}

/** A remark for people, on standard error. */
export async function note(cli: Cli, text: string): Promise<void> {
  await cli.stderr.write(`${cli.styles.stderr.gray(text)}\n`);
}

export async function warn(cli: Cli, text: string): Promise<void> {
  await cli.stderr.write(`${cli.styles.stderr.yellow(`warning: ${text}`)}\n`);
}
