import { homedir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type AccessOptions, enableAccess } from "./access.ts";
import { clientError, MagsError } from "./errors.ts";
import { type ExecOptions, type ExecResult, execResult } from "./exec.ts";
import { type ExecStream, type ExecStreamOptions, execStream } from "./exec-stream.ts";
import { type FollowOptions, followLogs } from "./follow-logs.ts";
import { createJobFiles, type JobFiles } from "./job-files.ts";
import { jobPath, resolveRequestId } from "./job-path.ts";
import { multipartOf } from "./multipart.ts";
import { type RunOptions, submission } from "./run-options.ts";
import {
  type JobUpdate,
  type NewOptions,
  newSandbox,
  type RunningSandbox,
  resizeSandbox,
  updateBody,
} from "./sandboxes.ts";
import { clientSettings } from "./settings.ts";
import { type AccountSshKeys, createAccountSshKeys } from "./ssh-keys.ts";
import { createTransport, type Transport } from "./transport.ts";
import {
  createUrlAlias,
  createUrlLink,
  deleteUrlAlias,
  listUrlAliases,
  listUrlLinks,
  moveUrlAlias,
  revokeUrlLink,
  type UrlLinkOptions,
  type UrlTrafficOptions,
  urlTraffic,
} from "./urls.ts";
import { waitForEnd } from "./wait-for-end.ts";
import type {
  Access,
  AccessTokens,
  AuditLog,
  Done,
  ExecReply,
  HttpAccess,
  Job,
  JobEvents,
  JobPage,
  JobStatus,
  LogEntry,
  Logs,
  Me,
  NewAccessToken,
  NewUrlLink,
  PoolStatus,
  RestoredWorkspace,
  SshAccess,
  SshService,
  Stopped,
  SubmitReply,
  Synced,
  UpdatedJob,
  Uploaded,
  UrlAlias,
  UrlAliases,
  UrlLinks,
  UrlTraffic,
  Usage,
  WorkspaceDiff,
  Workspaces,
  WorkspaceVersions,
} from "./wire.generated.ts";
import {
  type DiffOptions,
  deleteWorkspace,
  diffVersions,
  listWorkspaces,
  restoreWorkspace,
  workspaceVersions,
} from "./workspaces.ts";

export interface MagsOptions {
  /** Default: the environment variable `MAGS_API_TOKEN`, then `MAGS_TOKEN`. */
  readonly apiToken?: string | undefined;
  /** Without `/api/v1`. Default: `MAGS_API_URL`, then `api_url` in `~/.mags/config.json`, then the local server. */
  readonly apiUrl?: string | undefined;
  /** How long a request waits while nothing arrives, in ms. Default: 30000. `exec` and followed logs have their own. */
  readonly timeout?: number | undefined;
}

export interface SubmittedJob extends SubmitReply {
  readonly requestId: string;
}

export interface RunAndWaitOptions extends SubmitOptions {
  /** How long to wait for the end of the job, in ms; it goes on when the wait ends. Default: 60000. */
  readonly timeout?: number | undefined;
  /** Pause between questions to a server without event streams, in ms. Default: 1000. */
  readonly pollInterval?: number | undefined;
}

export interface FinishedJob {
  readonly requestId: string;
  readonly request_id: string;
  /** `completed`, also with another exit code than 0; `error` when the script could not be run to its end. */
  readonly status: string;
  /** Undefined when the script did not get to its end. */
  readonly exitCode: number | undefined;
  /** Of the script. */
  readonly durationMs: number | undefined;
  /** With status `error`. */
  readonly errorMessage: string | undefined;
  readonly logs: readonly LogEntry[];
}

export interface LogsOptions {
  /** Entries to leave out at the beginning. */
  readonly offset?: number | undefined;
  /** Include platform events. */
  readonly system?: boolean | undefined;
  /** As in {@link FollowOptions}. */
  readonly encoding?: "utf8" | "base64" | undefined;
}

export interface ListOptions {
  /** From 1. */
  readonly page?: number | undefined;
  /** At most 100. Default: 20. */
  readonly pageSize?: number | undefined;
  readonly status?: JobStatus["status"] | undefined;
  readonly name?: string | undefined;
  readonly workspaceId?: string | undefined;
  /** `key=value`: jobs that carry this label. */
  readonly label?: string | undefined;
}

export interface AuditLogOptions {
  /** Only what came after the entry with this id, the first of it; 0: from the beginning. Default: the last entries. */
  readonly after?: number | undefined;
  /** At most 1000. Default: 100. */
  readonly limit?: number | undefined;
  /** Only these: `ssh_signed_in`, `key_added`, … */
  readonly action?: string | undefined;
  /** For admins: entries of all accounts. */
  readonly all?: boolean | undefined;
}

export interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

export interface SubmitOptions extends RunOptions, Cancellable {
  /** Told each time the server refuses the job because too many wait, before it is submitted again. */
  readonly onRefused?: ((error: MagsError) => void) | undefined;
}

export interface StopOptions {
  readonly scriptOnly?: boolean | undefined;
  /** Drops what changed in a synced workspace since its last sync, where it cannot be synced. */
  readonly force?: boolean | undefined;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_WAIT_MS = 60_000;
const DEFAULT_POLL_INTERVAL_MS = 1_000;
const DEFAULT_EXEC_TIMEOUT_MS = 30_000;
/** Beyond the time the command itself may take: for the way there and back. */
const EXEC_SLACK_MS = 10_000;
const UPLOAD_TIMEOUT_MS = 300_000;
/** Memory of a VM goes to disk, or comes from there. */
const CHANGE_MS = 120_000;
/** As much as a disk holds goes to the object store. */
const SYNC_MS = 600_000;
const NO_VM_PAUSE_MS = 200;
const LEAST_REFUSED_PAUSE_MS = 100;

/**
 * A client of a Mags server. Every method rejects with a {@link MagsError}, or with the signal's reason when it was
 * given one that aborted. A `nameOrId` is a request id, the name of a job or that of a workspace; a living job is meant
 * first, then a name before a workspace, then the newest.
 */
export class Mags {
  readonly #transport: Transport;
  readonly #timeoutMs: number;
  /** Keys of the account, to sign in to its VMs by SSH with. */
  readonly sshKeys: AccountSshKeys;

  /** @throws MagsError `no_token` when there is no token, `invalid_argument` when a setting cannot be used. */
  constructor(options: MagsOptions = {}) {
    const settings = clientSettings(options, process.env, homedir());
    this.#timeoutMs = options.timeout ?? DEFAULT_TIMEOUT_MS;
    this.#transport = createTransport({ ...settings, timeoutMs: this.#timeoutMs });
    this.sshKeys = createAccountSshKeys(this.#transport);
  }

  /**
   * Submits a script and returns when the server has accepted it. A server that refuses it because too many jobs wait
   * is asked again when it says so, for as long as the client's `timeout`.
   */
  async run(script: string, options: SubmitOptions = {}): Promise<SubmittedJob> {
    return await this.#submit(script, options, this.#timeoutMs);
  }

  /** What the server refused so was not stored: the job cannot run twice. */
  async #submit(script: string, options: SubmitOptions, patienceMs: number): Promise<SubmittedJob> {
    const { signal, onRefused } = options;
    const request = { method: "POST", path: "/mags-jobs", body: submission(script, options), signal } as const;
    const startedAt = performance.now();
    for (;;) {
      try {
        const reply = await this.#transport.json<SubmitReply>(request);
        return { ...reply, requestId: reply.request_id };
      } catch (error) {
        const pauseMs = refusedForMs(error);
        if (pauseMs === undefined || performance.now() - startedAt + pauseMs > patienceMs) throw error;
        onRefused?.(error as MagsError); // as refusedForMs found
        await sleep(pauseMs, undefined, { signal }).catch((cause: unknown) => {
          throw signal?.aborted ? signal.reason : cause;
        });
      }
    }
  }

  /**
   * Submits a script and waits for its end; the VM of a persistent job stays.
   * @throws MagsError `timeout` when it takes longer than `timeout`; the job goes on.
   */
  async runAndWait(script: string, options: RunAndWaitOptions = {}): Promise<FinishedJob> {
    const { timeout = DEFAULT_WAIT_MS, pollInterval = DEFAULT_POLL_INTERVAL_MS, ...rest } = options;
    const deadline = AbortSignal.timeout(timeout);
    const signal = rest.signal ? AbortSignal.any([rest.signal, deadline]) : deadline;
    const { requestId } = await this.#submit(script, rest, Math.min(timeout, this.#timeoutMs));
    try {
      const { status, logs } = await waitForEnd(this.#transport, requestId, { pollIntervalMs: pollInterval, signal });
      return {
        requestId,
        request_id: requestId,
        status: status.status,
        exitCode: status.exit_code,
        durationMs: status.script_duration_ms,
        errorMessage: status.error_message,
        logs,
      };
    } catch (error) {
      if (!deadline.aborted || rest.signal?.aborted) throw error;
      throw clientError("timeout", `job ${requestId} did not end within ${timeout / 1000} s; it goes on`);
    }
  }

  async status(nameOrId: string): Promise<JobStatus> {
    return await this.#transport.json({ method: "GET", path: jobPath(nameOrId, "/status") });
  }

  /** The output so far, a line an entry. */
  async logs(nameOrId: string, options: LogsOptions = {}): Promise<Logs> {
    const { offset, system, encoding } = options;
    const query = { offset, encoding, system: system ? 1 : undefined };
    return await this.#transport.json({ method: "GET", path: jobPath(nameOrId, "/logs"), query });
  }

  /**
   * The output from its beginning and as it is produced, until the job ends; lost connections are made again and
   * nothing is lost or doubled. The iterator's return value is the status of the ended job.
   */
  async *followLogs(nameOrId: string, options: FollowOptions = {}): AsyncGenerator<LogEntry, JobStatus, void> {
    return yield* followLogs(this.#transport, await resolveRequestId(this.#transport, nameOrId), options);
  }

  /** One page of the jobs, newest first. */
  async list(options: ListOptions = {}): Promise<JobPage> {
    const { page = 1, pageSize = 20, status, name, workspaceId, label } = options;
    const query = { page, page_size: pageSize, status, name, workspace_id: workspaceId, label };
    return await this.#transport.json({ method: "GET", path: "/mags-jobs", query });
  }

  /** The job of that name or id, or null. */
  async findJob(nameOrId: string): Promise<Job | null> {
    try {
      const job = await this.#transport.json<Partial<Job>>({ method: "GET", path: jobPath(nameOrId) });
      // `usage` and `pool-status` are no jobs, but paths of the API.
      return job.request_id === undefined ? null : (job as Job);
    } catch (error) {
      if (error instanceof MagsError && error.statusCode === 404) return null;
      throw error;
    }
  }

  /** Runs one command beside the script of a running job. For a job that waits for its VM it waits, up to `timeout`. */
  async exec(
    nameOrId: string,
    command: string,
    options: ExecOptions & { encoding: "buffer" },
  ): Promise<ExecResult<Buffer>>;
  async exec(nameOrId: string, command: string, options?: ExecOptions): Promise<ExecResult<string>>;
  async exec(nameOrId: string, command: string, options: ExecOptions = {}): Promise<ExecResult<string | Buffer>> {
    const { timeout = DEFAULT_EXEC_TIMEOUT_MS, encoding = "utf8", signal } = options;
    const request = {
      method: "POST",
      path: jobPath(nameOrId, "/exec"),
      body: { command, timeout: timeout / 1000, ...(encoding === "buffer" && { encoding: "base64" }) },
      timeoutMs: timeout + EXEC_SLACK_MS,
      signal,
    } as const;
    const startedAt = performance.now();
    for (;;) {
      try {
        return execResult(await this.#transport.json<ExecReply>(request), encoding);
      } catch (error) {
        const waits = error instanceof MagsError && error.code === "no_vm";
        if (!waits || performance.now() - startedAt + NO_VM_PAUSE_MS > timeout) throw error;
        await sleep(NO_VM_PAUSE_MS, undefined, { signal });
      }
    }
  }

  /** Files of a job's VM. */
  files(nameOrId: string): JobFiles {
    return createJobFiles(this.#transport, nameOrId);
  }

  /** Uploads a file of this machine for jobs to come. @returns its id, for the option `fileIds`. */
  async uploadFile(path: string, { signal }: Cancellable = {}): Promise<string> {
    const upload = await multipartOf(path);
    const request = { method: "POST", path: "/mags-files", upload, timeoutMs: UPLOAD_TIMEOUT_MS, signal } as const;
    return (await this.#transport.json<Uploaded>(request)).file_id;
  }

  /** One after the other. */
  async uploadFiles(paths: readonly string[], options: Cancellable = {}): Promise<string[]> {
    const ids: string[] = [];
    for (const path of paths) ids.push(await this.uploadFile(path, options));
    return ids;
  }

  /**
   * Runs one command beside the script of a job, with streamed input and output, signals, and a terminal if wanted. It
   * begins when its output is iterated over. Lost connections are made again; no byte is lost or doubled. For a job that
   * waits for its VM it waits up to 30 s.
   * @param command  Undefined: a login shell.
   */
  execStream(nameOrId: string, command?: string, options: ExecStreamOptions = {}): ExecStream {
    return execStream(this.#transport, nameOrId, command, options);
  }

  /**
   * Enables access to a port of a persistent job's VM; wakes it, and for one that waits for its VM it waits, up to the
   * client's `timeout`. May be repeated, with the same reply. Port 22 is SSH: the reply has address, user, private key
   * and host key, which end with the VM. Another port is what the URL in the reply leads to from then on.
   * @param port  Default: 8080.
   * @throws MagsError 400 when the job is not persistent, or the server has no SSH, or no URLs; 409 when it has ended.
   */
  async enableAccess(nameOrId: string, port: 22 | (AccessOptions & { readonly port: 22 })): Promise<SshAccess>;
  async enableAccess(nameOrId: string, port?: number | AccessOptions): Promise<Access>;
  async enableAccess(nameOrId: string, port: number | AccessOptions = {}): Promise<Access> {
    const options = typeof port === "number" ? { port } : port;
    return await enableAccess(this.#transport, nameOrId, { ...options, patienceMs: this.#timeoutMs });
  }

  /**
   * Leads the URL of a persistent job to a port of its VM, as {@link Mags.enableAccess}.
   * @param port  Default: 8080.
   * @throws MagsError `invalid_argument` for port 22, which is SSH.
   */
  async url(nameOrId: string, port: number | AccessOptions = {}): Promise<HttpAccess> {
    const access = await this.enableAccess(nameOrId, port);
    if ("url" in access) return access;
    throw clientError("invalid_argument", `port ${access.port} is SSH, and has no URL: use enableAccess`);
  }

  /**
   * Gives a workspace an address that stays: it leads to whichever persistent job the workspace has.
   * @param domain  Default: that of the server's URLs; another must be known to be yours.
   * @throws MagsError 409 when the name is taken, 404 when there is no such workspace, 403 when the domain is not known to be yours.
   */
  async urlAliasCreate(subdomain: string, workspaceId: string, domain?: string): Promise<UrlAlias> {
    return await createUrlAlias(this.#transport, { subdomain, workspaceId, domain });
  }

  async urlAliasList(): Promise<UrlAliases> {
    return await listUrlAliases(this.#transport);
  }

  /** Leads an alias elsewhere; no request finds nothing in between. @throws MagsError 404 */
  async urlAliasMove(subdomain: string, workspaceId: string, domain?: string): Promise<UrlAlias> {
    return await moveUrlAlias(this.#transport, { subdomain, workspaceId, domain });
  }

  /** @throws MagsError 404 */
  async urlAliasDelete(subdomain: string, domain?: string): Promise<Done> {
    return await deleteUrlAlias(this.#transport, { subdomain, domain });
  }

  /** Makes a link that opens a private URL; what opens it is shown only now. @throws MagsError 409 when there is no URL */
  async urlLinkCreate(nameOrId: string, options: UrlLinkOptions = {}): Promise<NewUrlLink> {
    return await createUrlLink(this.#transport, nameOrId, options);
  }

  /** Those that have not expired. */
  async urlLinkList(nameOrId: string): Promise<UrlLinks> {
    return await listUrlLinks(this.#transport, nameOrId);
  }

  /** Within a second it opens nothing more, nor do the cookies of those who have followed it. @throws MagsError 404 */
  async urlLinkRevoke(nameOrId: string, linkId: string): Promise<Done> {
    return await revokeUrlLink(this.#transport, nameOrId, linkId);
  }

  /** What was asked of the URLs of a job: the last requests, and counters of all. */
  async urlTraffic(nameOrId: string, options: UrlTrafficOptions = {}): Promise<UrlTraffic> {
    return await urlTraffic(this.#transport, nameOrId, options);
  }

  /** Makes a VM that stays, with a workspace of the same name, and returns when it runs. */
  async new(name: string, options: NewOptions = {}): Promise<RunningSandbox> {
    return await newSandbox(this, name, options);
  }

  /** Changes a job that lives. */
  async updateJob(nameOrId: string, update: JobUpdate): Promise<UpdatedJob> {
    return await this.#transport.json({
      method: "PATCH",
      path: jobPath(nameOrId),
      body: updateBody(update),
      timeoutMs: CHANGE_MS,
    });
  }

  /** Makes the disk of a sandbox larger while it runs; where none lives, makes one with that disk. */
  async resize(
    name: string,
    diskGb: number,
    options: Pick<NewOptions, "timeout" | "pollInterval" | "signal"> = {},
  ): Promise<RunningSandbox> {
    return await resizeSandbox(this, name, diskGb, options);
  }

  /** Puts the VM of a persistent job to sleep; returns when it sleeps. */
  async sleep(nameOrId: string): Promise<JobStatus> {
    return await this.#transport.json({ method: "POST", path: jobPath(nameOrId, "/sleep"), timeoutMs: CHANGE_MS });
  }

  /** Wakes the VM of a persistent job; returns when it runs. */
  async wake(nameOrId: string): Promise<JobStatus> {
    return await this.#transport.json({ method: "POST", path: jobPath(nameOrId, "/wake"), timeoutMs: CHANGE_MS });
  }

  /**
   * Publishes what changed in the workspace of a job; its VM runs on.
   * @throws MagsError 400 when the workspace is local, 503 while the object store is away, 507 while the host's disk is full: nothing is lost then.
   */
  async sync(nameOrId: string): Promise<Synced> {
    return await this.#transport.json({ method: "POST", path: jobPath(nameOrId, "/sync"), timeoutMs: SYNC_MS });
  }

  /** The synced workspaces, by name. */
  async listWorkspaces(): Promise<Workspaces> {
    return await listWorkspaces(this.#transport);
  }

  /**
   * Deletes a synced workspace and its data for good.
   * @param options.force  Stops what stands on it first; else that is a MagsError `workspace_in_use`. Forks that are synced
   * are synced before they end; one that cannot be is that error, too.
   */
  async deleteWorkspace(name: string, { force = false }: { readonly force?: boolean } = {}): Promise<Done> {
    return await deleteWorkspace(this.#transport, name, force);
  }

  /** The versions of a synced workspace that are kept, newest first. */
  async workspaceVersions(name: string): Promise<WorkspaceVersions> {
    return await workspaceVersions(this.#transport, name);
  }

  /**
   * The files that changed from one version of a synced workspace to another, by path. The first comparison reads from the
   * object store; one that takes longer than a minute is a MagsError `unavailable`, and may be repeated.
   */
  async diffWorkspace(name: string, version: number, options: DiffOptions = {}): Promise<WorkspaceDiff> {
    return await diffVersions(this.#transport, name, { version, ...options });
  }

  /** Makes an older version of a synced workspace its newest, as a version of its own; not while it is open. */
  async restoreWorkspace(name: string, version: number): Promise<RestoredWorkspace> {
    return await restoreWorkspace(this.#transport, name, version);
  }

  /**
   * Ends a job and releases its VM; with `scriptOnly` only its script, where the VM stays. Stopping an ended job is no
   * error. While what changed in a synced workspace cannot be synced the job lives on, `stopped` is false and `message`
   * says why; with `force` that is dropped. It then stops by itself when that is synced; asking again waits for it.
   */
  async stop(nameOrId: string, { scriptOnly, force }: StopOptions = {}): Promise<Stopped> {
    const query = { script_only: scriptOnly ? 1 : undefined, force: force ? 1 : undefined };
    return await this.#transport.json({ method: "POST", path: jobPath(nameOrId, "/stop"), query });
  }

  /** What happened to a job, with times and reasons, oldest first. */
  async events(nameOrId: string): Promise<JobEvents> {
    return await this.#transport.json({ method: "GET", path: jobPath(nameOrId, "/events") });
  }

  async usage({ windowDays }: { readonly windowDays?: number | undefined } = {}): Promise<Usage> {
    return await this.#transport.json({
      method: "GET",
      path: "/mags-jobs/usage",
      query: { window_days: windowDays },
    });
  }

  async poolStatus(): Promise<PoolStatus> {
    return await this.#transport.json({ method: "GET", path: "/mags-jobs/pool-status" });
  }

  /** Where SSH connections are taken, and the host key there; all `null` where there are none. */
  async sshService(): Promise<SshService> {
    return await this.#transport.json({ method: "GET", path: "/ssh" });
  }

  /** What was done with the account: sign-ins by SSH, keys, tokens; oldest first. */
  async auditLog({ after, limit, action, all }: AuditLogOptions = {}): Promise<AuditLog> {
    const query = { after, limit, action, all: all ? 1 : undefined };
    return await this.#transport.json({ method: "GET", path: "/audit-log", query });
  }

  /** The account that the token belongs to. */
  async me(): Promise<Me> {
    return await this.#transport.json({ method: "GET", path: "/me" });
  }

  async listTokens(): Promise<AccessTokens> {
    return await this.#transport.json({ method: "GET", path: "/access-tokens" });
  }

  /** Creates an access token; its text is in this reply only. */
  async createToken(name: string): Promise<NewAccessToken> {
    return await this.#transport.json({ method: "POST", path: "/access-tokens", body: { name } });
  }

  async deleteToken(id: string): Promise<Done> {
    return await this.#transport.json({ method: "DELETE", path: `/access-tokens/${encodeURIComponent(id)}` });
  }
}

/**
 * How long to wait before a refused job is submitted again; undefined when it must not be. Only the server's own word
 * counts: a proxy may say 503 after it passed the submission on.
 */
function refusedForMs(error: unknown): number | undefined {
  if (!(error instanceof MagsError) || error.retryAfter === undefined) return undefined;
  const notStored = error.code === "too_many_requests" || error.code === "capacity_exhausted";
  return notStored ? Math.max(error.retryAfter * 1000, LEAST_REFUSED_PAUSE_MS) : undefined;
}
