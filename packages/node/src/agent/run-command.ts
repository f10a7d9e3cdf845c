/** Runs one command in the guest and collects what it prints. */
import { AppError } from "@mags/core";
import { createByteCollector } from "./byte-collector.ts";
import type { OpenOptions, ProcessOptions } from "./open-options.ts";
import type { AgentStream } from "./stream.ts";

const TIMEOUT_EXIT_CODE = 124;
const DEFAULT_KILL_AFTER_MS = 10_000;
/** The agent enforces time-outs. One that has not so much later does not work. */
/** Less than what clients wait beyond the time of a command. */
const TIMEOUT_SLACK_MS = 5_000;
const DEFAULT_MAX_BYTES = 1024 * 1024;
const STDERR_CHANNEL = 2;

export interface CommandOptions extends ProcessOptions {
  /** Given to the command on its standard input. Default: /dev/null. */
  readonly input?: Uint8Array;
  /** Bytes kept of each of stdout and stderr; the rest is read and dropped. Default 1 MiB. */
  readonly maxBytes?: number;
}

export interface CommandResult {
  /** 0–255; 128 + signal number; 124 on time-out. */
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly timedOut: boolean;
  readonly truncated: boolean;
  readonly durationNs: number;
}

export async function runCommand(
  open: (options: OpenOptions) => AgentStream,
  command: CommandOptions,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<CommandResult> {
  signal?.throwIfAborted();
  const { input, maxBytes = DEFAULT_MAX_BYTES, ...process } = command;
  const stdout = createByteCollector(maxBytes);
  const stderr = createByteCollector(maxBytes);

  const stream = open({
    kind: "exec",
    ...process,
    stdin: input !== undefined,
    onRecord: ({ channel, bytes }) => (channel === STDERR_CHANNEL ? stderr : stdout).add(bytes),
  });
  const onAbort = () => stream.close();
  let overdue = false;
  const { timeoutMs, killAfterMs = DEFAULT_KILL_AFTER_MS } = process;
  const onOverdue = () => {
    overdue = true;
    stream.close();
  };
  const timer = timeoutMs === undefined ? undefined : setTimeout(onOverdue, timeoutMs + killAfterMs + TIMEOUT_SLACK_MS);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    if (input) {
      // A command may end without reading its input: that is its own affair.
      stream.write(input).catch(() => {});
      stream.endInput().catch(() => {});
    }
    const end = await stream.ended;
    if (end.failure) throw new AppError("guest_failed", `the guest gave up the command: ${end.failure.message}`);
    return {
      exitCode: end.timedOut ? TIMEOUT_EXIT_CODE : end.exitCode,
      stdout: stdout.bytes,
      stderr: stderr.bytes,
      timedOut: end.timedOut,
      truncated: stdout.truncated || stderr.truncated,
      durationNs: end.durationNs,
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (overdue) throw new AppError("guest_failed", "the guest did not end the command when its time was over");
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}
