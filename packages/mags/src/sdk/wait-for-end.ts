import { setTimeout as delay } from "node:timers/promises";
import { MagsError } from "./errors.ts";
import { followLogs } from "./follow-logs.ts";
import type { Transport } from "./transport.ts";
import type { JobStatus, LogEntry, Logs } from "./wire.generated.ts";

export interface EndedJob {
  readonly status: JobStatus;
  readonly logs: readonly LogEntry[];
}

/** The last four are not sent by today's servers; a client that waits must not wait on them for ever. */
const TERMINAL: ReadonlySet<string> = new Set(["completed", "error", "failed", "terminated", "stopped", "cancelled"]);

/**
 * Waits until a job has ended. It follows the job's event stream; a server without event streams is asked every
 * `pollIntervalMs`.
 */
export async function waitForEnd(
  transport: Transport,
  requestId: string,
  options: { readonly pollIntervalMs: number; readonly signal: AbortSignal },
): Promise<EndedJob> {
  try {
    return await followToEnd(transport, requestId, options.signal);
  } catch (error) {
    if (!(error instanceof MagsError && error.code === "unexpected_reply")) throw error;
    return await pollToEnd(transport, requestId, options);
  }
}

async function followToEnd(transport: Transport, requestId: string, signal: AbortSignal): Promise<EndedJob> {
  const logs: LogEntry[] = [];
  const entries = followLogs(transport, requestId, { signal });
  for (;;) {
    const next = await entries.next();
    if (next.done) return { status: next.value, logs };
    logs.push(next.value);
  }
}

async function pollToEnd(
  transport: Transport,
  requestId: string,
  { pollIntervalMs, signal }: { readonly pollIntervalMs: number; readonly signal: AbortSignal },
): Promise<EndedJob> {
  const path = `/mags-jobs/${encodeURIComponent(requestId)}`;
  for (;;) {
    const status = await transport.json<JobStatus>({ method: "GET", path: `${path}/status`, signal });
    if (status.exit_code !== undefined || TERMINAL.has(status.status)) {
      const { logs } = await transport.json<Logs>({ method: "GET", path: `${path}/logs`, signal });
      return { status, logs };
    }
    await delay(pollIntervalMs, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
