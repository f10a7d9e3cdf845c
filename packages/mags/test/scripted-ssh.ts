/** A program of the name `ssh`, for a PATH: it writes down how it was called and does what a test tells it to. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface SshCall {
  readonly args: readonly string[];
  /** Values of its options `-o`, the first of each. */
  readonly options: Readonly<Record<string, string>>;
  readonly pid: number;
  /** By name: octal mode and text of the files that it was given, of the folder they are in too. */
  readonly files: Readonly<Record<string, { readonly mode: string; readonly text: string }>>;
}

export interface ScriptedSsh {
  /** A PATH with it in front. */
  readonly path: string;
  /** The calls so far. */
  calls(): SshCall[];
}

/** @param folder  Where it may put files. */
export async function createScriptedSsh(folder: string): Promise<ScriptedSsh> {
  const bin = join(folder, "bin");
  const log = join(folder, "ssh.log");
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, "ssh"), `#!${process.execPath}\n(${program.toString()})(${JSON.stringify(log)});\n`, {
    mode: 0o755,
  });
  return {
    path: `${bin}:${process.env.PATH}`,
    calls() {
      if (!existsSync(log)) return [];
      const lines = readFileSync(log, "utf8").trim().split("\n");
      return lines.map((line) => JSON.parse(line));
    },
  };
}

/** The words behind the destination are run here, with its input and output. Stands alone: its text is the program. */
function program(log: string): void {
  const { appendFileSync, readFileSync, statSync } = process.getBuiltinModule("node:fs");
  const { dirname } = process.getBuiltinModule("node:path");
  const { spawn } = process.getBuiltinModule("node:child_process");
  const args = process.argv.slice(2);
  const options: Record<string, string> = {};
  for (const [n, word] of args.entries())
    if (args[n - 1] === "-o") options[word.replace(/=.*/, "")] ??= word.replace(/^.*?=/, "").replaceAll('"', "");
  const files: Record<string, { mode: string; text: string }> = {};
  const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
  for (const name of ["IdentityFile", "UserKnownHostsFile"]) {
    const path = options[name] ?? "";
    files[name] = { mode: mode(path), text: readFileSync(path, "utf8") };
    files.folder = { mode: mode(dirname(path)), text: "" };
  }
  appendFileSync(log, `${JSON.stringify({ args, options, files, pid: process.pid })}\n`);
  const command = args.slice(args.indexOf("--") + 2).join(" ");
  spawn("/bin/sh", ["-c", command || "cat"], { stdio: "inherit" }).on("close", (code) => process.exit(code ?? 255));
}
