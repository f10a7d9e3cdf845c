import { spawn } from "node:child_process";
import type { Socket } from "node:net";
import { AppError } from "@mags/core";
import type { Command } from "@mags/runtime-root";

export interface RunOptions {
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Default 30 s. */
  readonly timeoutMs?: number;
  /** A connection that the tool shares as its descriptor 3. It goes on here afterwards. */
  readonly shared?: Socket;
}

/** Runs a short-lived tool. @returns its stdout. @throws AppError `internal` with the tail of its stderr. */
export function run(command: Command, options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, [...command.args], {
      stdio: ["pipe", "pipe", "pipe", ...(options.shared ? [options.shared] : [])],
      timeout: options.timeoutMs ?? 30_000,
      killSignal: "SIGKILL",
      ...(options.signal ? { signal: options.signal } : {}),
    });
    options.shared?.resume(); // Node takes it that nobody reads any more here
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-2000);
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(stdout);
      const name = command.args.find((arg) => arg.includes("/bin/") || arg.includes("/sbin/")) ?? command.file;
      reject(
        new AppError(
          "internal",
          `${name} failed (${signal ?? `exit code ${code}`}): ${stderr.trim() || "no message"}`,
          {
            details: { command },
          },
        ),
      );
    });
    child.stdin?.on("error", () => {}); // the tool may end without reading; its exit code tells
    child.stdin?.end(options.input ?? "");
  });
}
