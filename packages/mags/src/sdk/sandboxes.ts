/** VMs that stay: what the client does beyond single requests. */
import { setTimeout as delay } from "node:timers/promises";
import { clientError } from "./errors.ts";
import type { RunOptions } from "./run-options.ts";
import type { Job, JobStatus, SubmitReply } from "./wire.generated.ts";

export interface NewOptions {
  /** Sync the files to the object store; else they lie on the disk of the VM only. Default: false. */
  readonly persistent?: boolean | undefined;
  /** A synced workspace whose files it begins with: its name, or `name@version`. */
  readonly baseWorkspaceId?: string | undefined;
  readonly diskGb?: number | undefined;
  /** How long to wait until it runs, in ms; it goes on when the wait ends. Default: 30000. */
  readonly timeout?: number | undefined;
  /** Pause between questions, in ms. Default: 1000. */
  readonly pollInterval?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RunningSandbox {
  readonly requestId: string;
  readonly request_id: string;
  readonly status: string;
}

export interface JobUpdate {
  /** Run when the VM wakes without its memory; empty: none. */
  readonly startupCommand?: string | undefined;
  readonly noSleep?: boolean | undefined;
  readonly idleMinutes?: number | undefined;
  readonly diskGb?: number | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Whether only links open the URL. */
  readonly urlPrivate?: boolean | undefined;
}

/** What of the client these need. */
export interface SandboxClient {
  run(script: string, options: RunOptions & { readonly signal?: AbortSignal | undefined }): Promise<SubmitReply>;
  status(nameOrId: string): Promise<JobStatus>;
  findJob(nameOrId: string): Promise<Job | null>;
  updateJob(nameOrId: string, update: JobUpdate): Promise<JobStatus>;
}

/** Keeps a VM alive for its own sake; also when it wakes without its memory. */
const ENDLESS_SLEEP = "sleep infinity";
const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_POLL_INTERVAL_MS = 1_000;

/** @throws MagsError with the job's own message when it does not come to run; `timeout`. */
export async function newSandbox(client: SandboxClient, name: string, options: NewOptions): Promise<RunningSandbox> {
  const { persistent = false, baseWorkspaceId, diskGb, signal } = options;
  const { request_id: requestId } = await client.run(ENDLESS_SLEEP, {
    name,
    workspaceId: name,
    persistent: true,
    noSync: !persistent,
    startupCommand: ENDLESS_SLEEP,
    baseWorkspaceId,
    diskGb,
    signal,
  });
  await untilRunning(client, requestId, options);
  return { requestId, request_id: requestId, status: "running" };
}

async function untilRunning(client: SandboxClient, requestId: string, options: NewOptions): Promise<void> {
  const { timeout = DEFAULT_WAIT_MS, pollInterval = DEFAULT_POLL_INTERVAL_MS, signal } = options;
  const deadline = performance.now() + timeout;
  for (let pauseMs = Math.min(50, pollInterval); ; pauseMs = Math.min(2 * pauseMs, pollInterval)) {
    const { status, error_message } = await client.status(requestId);
    if (status === "running") return;
    if (status === "error" || status === "completed")
      throw clientError("job_failed", error_message ?? (status === "error" ? "Unknown error" : "it was stopped"));
    if (performance.now() + pauseMs > deadline)
      throw clientError("timeout", `job ${requestId} did not run within ${timeout / 1000} s; it goes on`);
    await delay(pauseMs, undefined, { signal }).catch((cause: unknown) => {
      throw signal?.aborted ? signal.reason : cause;
    });
  }
}

const LIVE: ReadonlySet<string> = new Set(["pending", "running", "sleeping"]);

/** A live one keeps running, and everything in it; else it is made anew with the larger disk. */
export async function resizeSandbox(
  client: SandboxClient,
  name: string,
  diskGb: number,
  options: Pick<NewOptions, "timeout" | "pollInterval" | "signal">,
): Promise<RunningSandbox> {
  const job = await client.findJob(name);
  if (!job || !LIVE.has(job.status)) return newSandbox(client, name, { ...options, persistent: true, diskGb });
  const { request_id: requestId, status } = await client.updateJob(name, { diskGb });
  return { requestId, request_id: requestId, status };
}

export function updateBody(update: JobUpdate): Record<string, unknown> {
  const entries = {
    startup_command: update.startupCommand,
    no_sleep: update.noSleep,
    idle_minutes: update.idleMinutes,
    disk_gb: update.diskGb,
    labels: update.labels,
    url_private: update.urlPrivate,
  };
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined));
}
