import { type ChildProcess, spawn } from "node:child_process";

export interface RunResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** stdout and stderr as text; made when asked for, as there is none of 512 MiB or more. */
  readonly text: string;
  readonly errors: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  /** Default 120 s; then SIGKILL, and the result says so. */
  readonly timeoutMs?: number;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly result: Promise<RunResult>;
  /** What came on stdout so far. */
  readonly soFar: () => string;
}

export function start(file: string, args: readonly string[], options: RunOptions = {}): RunningCommand {
  const child = spawn(file, [...args], {
    env: { PATH: process.env.PATH ?? "", NO_COLOR: "1", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? 120_000);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (bytes: Buffer) => stdout.push(bytes));
  child.stderr.on("data", (bytes: Buffer) => stderr.push(bytes));
  child.stdin.on("error", () => {}); // it may end without reading
  child.stdin.end(options.input ?? "");
  const result = new Promise<RunResult>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exitCode, signal) => {
      clearTimeout(timer);
      const [out, err] = [Buffer.concat(stdout), Buffer.concat(stderr)];
      resolve({
        exitCode,
        signal,
        stdout: out,
        stderr: err,
        get text() {
          return out.toString();
        },
        get errors() {
          return err.toString();
        },
      });
    });
  });
  return { child, result, soFar: () => Buffer.concat(stdout).toString() };
}

export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return start(file, args, options).result;
}
