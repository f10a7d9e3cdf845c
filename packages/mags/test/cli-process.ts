import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { buildPackage } from "../tools/build-package.ts";
import { type ScriptedApi, TOKEN } from "./scripted-api.ts";

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Standard input. Default: closed and empty. `open`: left to the test. */
  readonly input?: string | Buffer | { readonly open: true };
  /** Leave standard output unread until `read` is called. */
  readonly unread?: boolean;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
  read(): void;
  stdout(): string;
  stderr(): string;
}

/** The built command line in a home of its own; every process started here is ended when it is disposed. */
export interface CliBench extends AsyncDisposable {
  readonly folder: string;
  readonly home: string;
  /** Of `mags.js`. */
  readonly program: string;
  start(args: readonly string[], options?: CliOptions): RunningCli;
  run(args: readonly string[], options?: CliOptions): Promise<CliResult>;
  /** Runs a line of shell, in which `mags` is the command line. */
  shell(line: string, options?: CliOptions): Promise<CliResult>;
  /** Runs the command line on a terminal of its own, whose output is standard output. */
  startOnTerminal(args: string, options?: CliOptions): RunningCli;
}

export async function createCliBench(api?: ScriptedApi): Promise<CliBench> {
  const folder = await mkdtemp("/tmp/mags-");
  const program = join(folder, "dist", "cli", "mags.js");
  const home = join(folder, "home");
  const running = new Set<ChildProcess>();
  await buildPackage(join(folder, "dist"));

  function launch(
    file: string,
    args: readonly string[],
    { env = {}, input = "", unread = false }: CliOptions = {},
  ): RunningCli {
    const child = spawn(file, args, {
      env: { PATH: process.env.PATH, HOME: home, MAGS_API_URL: api?.url, MAGS_API_TOKEN: TOKEN, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    running.add(child);
    child.stdin.on("error", () => {});
    if (typeof input === "string" || Buffer.isBuffer(input)) child.stdin.end(input);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const read = () => child.stdout.on("data", (chunk) => stdout.push(chunk));
    if (!unread) read();
    child.stderr.on("data", (chunk) => stderr.push(chunk));
    const text = (chunks: readonly Buffer[]) => Buffer.concat(chunks).toString("utf8");
    const ended = new Promise<CliResult>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        running.delete(child);
        resolve({ code, signal, stdout: Buffer.concat(stdout), stderr: text(stderr) });
      });
    });
    return { child, ended, read, stdout: () => text(stdout), stderr: () => text(stderr) };
  }

  const start = (args: readonly string[], options?: CliOptions) =>
    launch(process.execPath, [program, ...args], options);
  const shellFunction = `mags() { '${process.execPath}' '${program}' "$@"; }`;

  const onTerminal = (args: string) => ["-qec", `'${process.execPath}' '${program}' ${args}`, "/dev/null"];

  return {
    folder,
    home,
    program,
    start,
    startOnTerminal: (args, options) => launch("script", onTerminal(args), options),
    run: (args, options) => start(args, options).ended,
    shell: (line, options) => launch("/bin/bash", ["-c", `${shellFunction}\n${line}`], options).ended,
    async [Symbol.asyncDispose]() {
      for (const child of running) child.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Waits for a condition; fails after 10 s with what was waited for. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited 10 s in vain: ${what}`);
    await delay(5);
  }
}
