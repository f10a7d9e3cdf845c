import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Access, EnableAccess, SubmitJob } from "../src/sdk/wire.generated.ts";
import { createScriptedExecs, type ScriptedExecs } from "./scripted-exec.ts";
import { type Encoding, runHere, ScriptedJob } from "./scripted-job.ts";
import { streamLogs } from "./scripted-stream.ts";

export const TOKEN = "mags_0123456789abcdef";

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

/** Answers a request in place of the API when it returns true. */
export type Interceptor = (request: SeenRequest, reply: ServerResponse) => boolean;

/** A server that speaks the contract of the REST API and does what a test tells it to. */
export interface ScriptedApi extends AsyncDisposable {
  readonly url: string;
  readonly requests: SeenRequest[];
  readonly jobs: ScriptedJob[];
  readonly execs: ScriptedExecs;
  /** What happens to a submitted job. Default: its script runs on this machine. */
  play: (job: ScriptedJob) => void;
  intercept: Interceptor;
  /** After how many bytes the n-th event stream (from 0) is cut. */
  cutAfter: (stream: number) => number | undefined;
  /** With which of the next calls a stop comes to its end. */
  stopsAfter: number;
  /** What URLs lead to. */
  web: string;
  /** Cuts all connections and refuses new ones until `comeBack`. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
}

export async function startScriptedApi(): Promise<ScriptedApi> {
  const sockets = new Set<Socket>();
  let streams = 0;
  let port = 0;
  const server = createServer((request, reply) => {
    answer(request, reply).catch(() => request.socket.destroy());
  });
  const execs = createScriptedExecs();
  server.on("upgrade", (request, socket, head) => {
    const reply = new ServerResponse(request);
    reply.assignSocket(socket as Socket); // of an http.Server
    reply.on("finish", () => socket.end());
    socket.on("error", () => socket.destroy());
    answer(request, reply, (execId) => {
      reply.detachSocket(socket as Socket);
      execs.serve(request, socket, head, execId);
    }).catch(() => socket.destroy());
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });

  async function listen(): Promise<void> {
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  }

  async function goAway(): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  async function answer(
    request: IncomingMessage,
    reply: ServerResponse,
    upgrade?: (execId: string | null) => void,
  ): Promise<void> {
    const url = new URL(request.url ?? "/", "http://api");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString("utf8");
    const seen: SeenRequest = {
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    api.requests.push(seen);
    if (api.intercept(seen, reply)) return;
    if (request.headers.authorization !== `Bearer ${TOKEN}`)
      return send(reply, 401, { error: "the access token is not valid", code: "unauthenticated" });
    const [noun, id, verb] = url.pathname.replace("/api/v1/", "").split("/").map(decodeURIComponent);
    if (noun === "mags-execs" && upgrade) return upgrade(id ?? null);
    if (verb === "exec" && upgrade && running(id)) return upgrade(null);
    if (noun === "mags-jobs" && id !== undefined && FIXED[id] === undefined) return answerForJob(reply, seen, id, verb);
    if (noun === "mags-jobs" && seen.method === "POST") return submit(reply, seen.body as SubmitJob);
    if (noun === "mags-jobs" && id === undefined) return send(reply, 200, page(seen.query));
    if (noun === "mags-workspaces" && id !== undefined) return send(reply, 200, workspaceReply(id, verb));
    const fixed = FIXED[id ?? noun ?? ""];
    if (fixed === undefined) return send(reply, 404, { error: "no such path", code: "route_not_found" });
    send(reply, seen.method === "POST" ? 201 : 200, fixed);
  }

  const running = (id: string | undefined) =>
    api.jobs.some(({ status, ended }) => !ended && (status.request_id === id || status.name === id));

  function submit(reply: ServerResponse, body: SubmitJob): void {
    const job = new ScriptedJob(randomUUID(), body);
    api.jobs.push(job);
    send(reply, 202, {
      request_id: job.status.request_id,
      status: "accepted",
      message: "Mags job submitted successfully",
    });
    api.play(job);
  }

  function answerForJob(reply: ServerResponse, seen: SeenRequest, id: string, verb = "") {
    const job = api.jobs.findLast(({ status }) => status.request_id === id || status.name === id);
    if (!job) return send(reply, 404, { error: `No job found with the name or id ${id}`, code: "job_not_found" });
    const encoding = (seen.query.get("encoding") ?? "utf8") as Encoding;
    switch (verb) {
      case "":
        if (seen.method === "PATCH") Object.assign(job.status, seen.body);
        return send(reply, 200, {
          ...job.status,
          ...(seen.method === "PATCH" ? { success: true, message: "Mags job updated" } : { id: job.status.request_id }),
        });
      case "sleep":
      case "wake":
        job.status.status = verb === "sleep" ? "sleeping" : "running";
        return send(reply, 200, job.status);
      case "access":
        if (job.ended) return send(reply, 409, { error: `Job ${id} is not running`, code: "job_not_running" });
        return send(reply, 200, accessReply(seen.body as EnableAccess, api.web));
      case "sync":
        return send(reply, 200, { success: true, message: `Workspace ${id} synced as version 4`, version: 4 });
      case "status":
        return send(reply, 200, job.status);
      case "logs":
        if (!seen.query.has("follow")) return send(reply, 200, { logs: job.entries(encoding) });
        return streamLogs(reply, job, encoding, {
          after: Number(seen.headers["last-event-id"] ?? 0),
          cutAfter: api.cutAfter(streams++),
        });
      case "stop":
        if (--api.stopsAfter > 0)
          return send(reply, 200, { success: true, message: `Job ${id} is still being synced`, stopped: false });
        job.stopped = true;
        job.emit("stop");
        if (job.over && !seen.query.has("script_only")) job.end({});
        return whenOver(job, () =>
          send(reply, 200, { success: true, message: `Job ${job.status.name} stopped`, stopped: true }),
        );
      case "events":
        return send(reply, 200, { events: job.events });
      case "exec":
        return exec(reply, job, seen.body as { command: string; encoding?: Encoding });
      default:
        return send(reply, 404, { error: "no such path", code: "route_not_found" });
    }
  }

  function exec(reply: ServerResponse, job: ScriptedJob, body: { command: string; encoding?: Encoding }) {
    if (job.ended) return send(reply, 409, { error: "the job is not running", code: "job_not_running" });
    const inner = new ScriptedJob(randomUUID(), { script: body.command, type: "inline" });
    runHere(inner);
    whenOver(inner, () => {
      const text = (source: string) =>
        Buffer.concat(inner.pieces.filter((piece) => piece.source === source).map(({ bytes }) => bytes)).toString(
          body.encoding ?? "utf8",
        );
      send(reply, 200, { exit_code: inner.status.exit_code, stdout: text("stdout"), stderr: text("stderr") });
    });
  }

  function page(query: URLSearchParams) {
    const jobs = api.jobs.map(({ status }) => ({ ...status, id: status.request_id })).reverse();
    const [number, size] = [Number(query.get("page") ?? 1), Number(query.get("page_size") ?? 20)];
    return { jobs: jobs.slice((number - 1) * size, number * size), total: jobs.length, page: number, page_size: size };
  }

  await listen();
  const api: ScriptedApi = {
    url: `http://127.0.0.1:${port}`,
    requests: [],
    jobs: [],
    execs,
    play: runHere,
    intercept: () => false,
    cutAfter: () => undefined,
    stopsAfter: 1,
    web: "http://0123456789ab.localhost:7780",
    goAway,
    comeBack: listen,
    async [Symbol.asyncDispose]() {
      execs.close();
      for (const job of api.jobs) {
        job.stopped = true;
        if (!job.ended) job.emit("stop");
      }
      if (server.listening) await goAway();
    },
  };
  return api;
}

export function send(reply: ServerResponse, status: number, body: unknown): void {
  reply.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function whenOver(job: ScriptedJob, then: () => void) {
  if (job.over) return then();
  const listener = () => {
    if (!job.over) return;
    job.off("change", listener);
    then();
  };
  job.on("change", listener);
}

const ACCOUNT_ID = "7e2a8a3e-5f0b-4c3a-9d77-0a1b2c3d4e5f";
const KEPT_TOKEN = {
  id: "0b6f9c54-41c1-4a6e-8a55-6f7c9d1e2a3b",
  name: "ci",
  prefix: "mags_0123",
  created_at: "2026-01-02T03:04:05.000Z",
  last_used_at: null,
};

export const SYNCED_WORKSPACE = {
  ...{ workspace_id: "golden", id: "golden", version: 4, size_bytes: 3_000_000, stored_bytes: 1536 },
  ...{ created_at: "2026-01-02T03:04:05.000Z", updated_at: "2026-01-02T03:04:05.000Z" },
  ...{ last_synced_at: "2026-01-02T03:04:05.000Z", active_request_id: null },
  ...{ base: { workspace_id: "stem", version: 2 }, behind_bytes: 0, failure: null, running: null },
};

export const SSH_SERVICE = {
  ...{ enabled: true, host: "127.0.0.1", port: 2222, host_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Q" },
  fingerprint: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
} as const;

export const SSH_ACCESS = {
  success: true,
  ...{ ssh_host: "127.0.0.1", ssh_port: 40_123, ssh_user: "root", ssh_private_key: "PRIVATE KEY\n" },
  ...{ ssh_host_key: SSH_SERVICE.host_key, ssh_host_fingerprint: SSH_SERVICE.fingerprint },
} as const;

function accessReply({ port = 8080, private: isPrivate = false }: EnableAccess, url: string): Access {
  if (port === 22) return { ...SSH_ACCESS, port };
  return { success: true, port, url, subdomain: "0123456789ab", private: isPrivate };
}

function workspaceReply(name: string, verb: string | undefined): unknown {
  if (verb === "versions") return { workspace_id: name, versions: [], total: 0 };
  return { success: true, message: `Workspace ${name} deleted` };
}

/** Replies that are always the same, by the last part of their path. */
const FIXED: Readonly<Record<string, unknown>> = {
  "pool-status": {
    idle_vms: 9,
    busy_vms: 1,
    total_vms: 10,
    min_pool_size: 10,
    max_pool_size: 0,
    queued_jobs: 0,
    accelerator: "tcg",
    accelerator_reason: "/dev/kvm does not exist",
  },
  usage: {
    total_jobs: 12,
    vm_seconds: 34.5,
    window_days: 30,
    completed_jobs: 10,
    running_jobs: 1,
    failed_jobs: 1,
    storage_bytes: 0,
    ...{ url_requests: 0, url_bytes_in: 0, url_bytes_out: 0 },
  },
  me: { id: ACCOUNT_ID, email: "admin@localhost", name: "Admin", role: "admin" },
  ssh: SSH_SERVICE,
  "mags-workspaces": { workspaces: [SYNCED_WORKSPACE], total: 1 },
  "access-tokens": { tokens: [KEPT_TOKEN], ...KEPT_TOKEN, token: TOKEN },
  [KEPT_TOKEN.id]: { success: true, message: "the token was revoked" },
};
