import type { ExecReply } from "./wire.generated.ts";

export interface ExecOptions {
  /** How long the command may run, in ms; its exit code is 124 then. Default: 30000. */
  readonly timeout?: number | undefined;
  /** `utf8` (the default): bytes that are no UTF-8 are replaced. `buffer`: the bytes as the command wrote them. */
  readonly encoding?: "utf8" | "buffer" | undefined;
  /** Aborting ends the command. */
  readonly signal?: AbortSignal | undefined;
}

export interface ExecResult<Output> {
  /** -1 when the server gave none. */
  readonly exitCode: number;
  /** Standard output. */
  readonly output: Output;
  readonly stderr: Output;
  readonly timedOut: boolean;
  /** A stream was longer than the server passes on; the rest was dropped. */
  readonly truncated: boolean;
}

export function execResult(reply: ExecReply, encoding: "utf8" | "buffer"): ExecResult<string | Buffer> {
  const decode = (text = "") => (encoding === "buffer" ? Buffer.from(text, "base64") : text);
  return {
    exitCode: reply.exit_code ?? -1,
    output: decode(reply.stdout),
    stderr: decode(reply.stderr),
    timedOut: reply.timed_out ?? false,
    truncated: reply.truncated ?? false,
  };
}
