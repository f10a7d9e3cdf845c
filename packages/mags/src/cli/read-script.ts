import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { TextDecoder } from "node:util";
import type { Cli } from "./cli.ts";
import { Failure } from "./failure.ts";

/** The server's limit, checked here too so that a wrong file is not sent first. */
export const MAX_SCRIPT_BYTES = 1024 * 1024;

const HOW = "Give it as an argument, as a file (--script-file FILE) or on standard input.";

/**
 * The script of `mags run`: the words of the command line, else the named file (`-`: standard input), else standard
 * input when that is no terminal.
 * @throws Failure when there is none, two, or one that cannot be a script.
 */
export async function readScript(cli: Cli, words: readonly string[], file: string | undefined): Promise<string> {
  if (words.length > 0) {
    if (file !== undefined) throw new Failure("both a script and --script-file are given: leave one out");
    return checked(Buffer.from(words.join(" ")), "the script");
  }
  if (file !== undefined && file !== "-") return checked(await readAll(createReadStream(file), file), file);
  if (file === undefined && cli.stdin().isTTY) throw new Failure("there is no script to run", HOW);
  return checked(await readAll(cli.stdin(), "standard input"), "standard input");
}

/** Stops just past the limit: more is not needed to refuse it. */
async function readAll(source: Readable, name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of source) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > MAX_SCRIPT_BYTES) break;
    }
  } catch (error) {
    throw new Failure(`cannot read the script: ${name}: ${readableReason(error)}`);
  }
  return Buffer.concat(chunks);
}

function readableReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EISDIR") return "it is a directory";
  if (code === "EACCES") return "it may not be read";
  return message;
}

function checked(bytes: Buffer, name: string): string {
  if (bytes.length > MAX_SCRIPT_BYTES) throw new Failure(`${name} is larger than 1 MiB, the most a script may be`);
  if (bytes.includes(0)) throw new Failure(`${name} is not a script: it holds binary data`);
  const text = decode(bytes, name);
  if (text.trim() === "") throw new Failure(`${name} is empty: there is no script to run`, HOW);
  return text;
}

function decode(bytes: Buffer, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Failure(`${name} is not a script: it holds bytes that are not UTF-8`);
  }
}
