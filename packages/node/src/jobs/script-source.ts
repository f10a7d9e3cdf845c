import { AppError } from "@mags/core";
import { type JobStart, MAX_SCRIPT_BYTES, normalizeScript } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";
import { foreignText } from "../foreign-text.ts";

const FETCH_SECONDS = 30;
const MAX_REASON = 1_000;

/** Fetches the script of a `url` job by the guest's own curl, so that the guest's egress rules apply. */
export async function fetchScript(
  agent: AgentConnection,
  job: JobStart,
  options: { readonly signal: AbortSignal },
): Promise<string> {
  if (job.command.kind !== "url") throw new Error("only url jobs are fetched");
  const { url } = job.command;
  const argv = [
    "curl",
    "-fsSL",
    "--proto",
    "=http,https",
    "--max-time",
    String(FETCH_SECONDS),
    "--max-filesize",
    String(MAX_SCRIPT_BYTES),
    "--",
    url,
  ];
  const { exitCode, stdout, stderr, truncated } = await agent.run(
    { argv, environment: job.environment, maxBytes: MAX_SCRIPT_BYTES + 1, timeoutMs: (FETCH_SECONDS + 5) * 1000 },
    options,
  );
  if (truncated || stdout.length > MAX_SCRIPT_BYTES)
    throw new AppError("guest_failed", `the script at ${url} is larger than ${MAX_SCRIPT_BYTES} bytes`);
  if (exitCode !== 0)
    throw new AppError(
      "guest_failed",
      `the script at ${url} could not be fetched: ${foreignText(stderr.toString().trim(), MAX_REASON) || `curl ended with ${exitCode}`}`,
    );
  const text = stdout.toString("utf8");
  if (text.includes("\0") || !Buffer.from(text).equals(stdout))
    throw new AppError("guest_failed", `what is at ${url} is not text, so it is no script`);
  if (text.trim() === "") throw new AppError("guest_failed", `the script at ${url} is empty`);
  return normalizeScript(text).script;
}
