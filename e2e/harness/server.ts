/**
 * A whole Mags of its own: the built server with a data directory, addresses, uids and a port that no other uses. Tests
 * touch it by its public surfaces only, and by signals.
 */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { glob, mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { NodeConfig, removeNode } from "@mags/node";
import { type ApiClient, createApiClient, makeTempDir, waitFor } from "@mags/test-kit";
import { type RunningCommand, type RunOptions, type RunResult, run, start } from "./run.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const MAGSD = join(ROOT, "dist/magsd.mjs");
const MAGS = join(ROOT, "packages/mags/dist/cli/mags.js");
const ARTIFACTS = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";

export interface ServerStatus {
  readonly pid: number;
  readonly api_url: string;
  readonly ssh: { readonly host: string; readonly port: number; readonly fingerprint: string };
  readonly urls: { readonly port: number; readonly plain_port: number | null };
  readonly ready: boolean;
  readonly accelerator: string;
  readonly pool: { readonly idle_vms: number; readonly busy_vms: number };
  readonly database: { readonly kind: string; readonly pid: number | null };
}

export interface JobStatus {
  readonly request_id: string;
  readonly status: string;
  readonly vm_id?: string;
  readonly exit_code?: number;
  readonly error_message?: string;
  readonly script_duration_ms?: number;
  readonly started_at?: string;
}

interface VmRecord {
  readonly index: number;
  readonly process: { readonly pid: number };
  readonly parked: { readonly mounted: boolean } | null;
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly dataDir: string;
  readonly api: ApiClient;
  magsd(...args: string[]): Promise<RunResult>;
  /** The command line, signed in to this server. */
  mags(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  startMags(args: readonly string[], options?: RunOptions): RunningCommand;
  start(): Promise<void>;
  /** Changes parts of the node's configuration, for the next start. */
  configure(node: Readonly<Record<string, unknown>>): Promise<void>;
  /** SIGKILL to the server process. */
  kill(): Promise<void>;
  serverStatus(): Promise<ServerStatus>;
  /** Of PostgreSQL's first process, also while the server is away; null when there is none. */
  databasePid(): Promise<number | null>;
  /** Ids of the jobs that have not ended. */
  unfinished(): Promise<string[]>;
  submit(body: Readonly<Record<string, unknown>>): Promise<string>;
  status(id: string): Promise<JobStatus>;
  /** The status once the job has a VM. */
  running(id: string, deadlineMs?: number): Promise<JobStatus>;
  /** The status once the job has ended. */
  ended(id: string, deadlineMs?: number): Promise<JobStatus>;
  /** Resolves when that many VMs are parked. */
  poolFilled(count: number): Promise<void>;
  /** What the node wrote down of a VM. */
  vmRecord(vmId: string): Promise<VmRecord>;
  /** Begins the names of what the node makes on the host. */
  readonly prefix: string;
  /** Pid of the QEMU that runs a VM. */
  qemuPid(vmId: string): Promise<number>;
  /** The n-th address of the range between host and VMs. */
  uplinkAddress(n: number): string;
}

export interface ServerOptions {
  /** Merged into the configuration. */
  readonly config?: Readonly<Record<string, unknown> & { readonly urls?: Readonly<Record<string, unknown>> }>;
  readonly node?: Readonly<Record<string, unknown>>;
  readonly network?: Readonly<Record<string, unknown>>;
  /** Of the server, besides. */
  readonly env?: Readonly<Record<string, string>>;
  /** Instead of a new one. Short: sockets lie below it. */
  readonly dataDir?: string;
}

export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  await using scope = new AsyncDisposableStack();
  assert.ok(existsSync(MAGSD) && existsSync(MAGS), "the programs are not built: npm run build");
  const temp = scope.use(await makeTempDir());
  const dataDir = options.dataDir ?? join(temp.path, "d");
  const home = join(temp.path, "home");
  await mkdir(home);
  const configFile = join(temp.path, "magsd.json");
  const number = randomInt(1, 4000);
  const node = {
    uid_base: 1_920_000_000 + number * 10_000,
    ...options.node,
    network: {
      prefix: `t${number}`,
      uplink_range: `10.${214 + (number >> 8)}.${number & 255}.0/24`,
      ...options.network,
    },
  };
  const jobPorts = { from: 10_000 + number * 5, to: 10_004 + number * 5 };
  const config = {
    ...{ data_dir: dataDir, artifacts: ARTIFACTS, listen: { port: 0 } },
    ssh: { listen: { port: 0 }, job_ports: jobPorts },
    ...options.config,
    urls: { listen: { port: 0 }, ...options.config?.urls },
    node,
  };
  await writeFile(configFile, JSON.stringify(config, null, 2));

  const environment = { HOME: home };
  const magsd = ([name = "", ...args]: readonly string[]) =>
    run(process.execPath, [MAGSD, name, "--config", configFile, ...args], {
      env: { ...environment, ...options.env },
      timeoutMs: 300_000,
    });
  const serverStatus = async (): Promise<ServerStatus> => {
    const { text, errors } = await magsd(["status", "--json"]);
    assert.ok(text, errors);
    return JSON.parse(text);
  };
  scope.defer(async () => {
    await magsd(["stop", "--all"]);
    await removeNode({ dataDirectory: dataDir, artifactsFile: ARTIFACTS, config: NodeConfig.parse(node) });
  });

  async function startMagsd(): Promise<void> {
    const { exitCode, errors } = await magsd(["start"]);
    assert.equal(exitCode, 0, errors);
  }
  await startMagsd();
  const { api_url: url, ssh, urls } = await serverStatus();
  // A restart must find the ports that clients know.
  const lasting = {
    ...config,
    listen: { port: Number(new URL(url).port) },
    ssh: { ...config.ssh, listen: { port: ssh.port } },
    urls: { ...config.urls, listen: { port: urls.port } },
  };
  const configure = (change: Readonly<Record<string, unknown>>) =>
    writeFile(configFile, JSON.stringify({ ...lasting, node: { ...node, ...change } }, null, 2));
  await configure({});
  const token = (await magsd(["token"])).text.trim();
  const api = createApiClient(url, token);
  const owned = scope.move();

  const server: TestServer = {
    url,
    token,
    dataDir,
    api,
    magsd: (...args) => magsd(args),
    mags: (args, runOptions) => server.startMags(args, runOptions).result,
    startMags(args, runOptions = {}) {
      const env = { ...environment, MAGS_API_URL: url, MAGS_API_TOKEN: token, ...runOptions.env };
      return start(process.execPath, [MAGS, ...args], { ...runOptions, env });
    },
    start: startMagsd,
    configure,
    async kill() {
      const { pid } = await serverStatus();
      process.kill(pid, "SIGKILL");
      await waitFor(() => !existsSync(`/proc/${pid}`), { what: "the end of the server" });
    },
    serverStatus,
    async databasePid() {
      const files = glob(join(dataDir, "postgres/*/postmaster.pid"));
      for await (const file of files) {
        const pid = Number.parseInt(await readFile(file, "utf8").catch(() => ""), 10);
        if (existsSync(`/proc/${pid}`)) return pid;
      }
      return null;
    },
    async unfinished() {
      const { status, body } = await api.call("GET", "/api/v1/mags-jobs?page_size=100");
      assert.equal(status, 200, JSON.stringify(body));
      const { jobs } = body as { jobs: readonly JobStatus[] };
      return jobs.filter((job) => job.status !== "completed" && job.status !== "error").map((job) => job.request_id);
    },
    async submit(body) {
      const reply = await api.call("POST", "/api/v1/mags-jobs", { type: "inline", persistent: false, ...body });
      assert.equal(reply.status, 202, JSON.stringify(reply.body));
      return (reply.body as { request_id: string }).request_id;
    },
    async status(id) {
      const reply = await api.call("GET", `/api/v1/mags-jobs/${id}/status`);
      assert.equal(reply.status, 200, JSON.stringify(reply.body));
      return reply.body as JobStatus;
    },
    running: (id, deadlineMs = 10_000) =>
      waitFor(
        async () => {
          const status = await server.status(id);
          return status.status === "running" ? status : undefined;
        },
        { what: `the VM of job ${id}`, deadlineMs },
      ),
    ended: (id, deadlineMs = 60_000) =>
      waitFor(
        async () => {
          const status = await server.status(id);
          return status.status === "completed" || status.status === "error" ? status : undefined;
        },
        { what: `the end of job ${id}`, deadlineMs, intervalMs: 25 },
      ),
    async poolFilled(count) {
      await waitFor(async () => (await serverStatus()).pool.idle_vms >= count, {
        what: `${count} parked VMs`,
        deadlineMs: 120_000,
        intervalMs: 100,
      });
    },
    async vmRecord(vmId) {
      return JSON.parse(await readFile(join(dataDir, "vms", vmId, "vm.json"), "utf8"));
    },
    prefix: node.network.prefix,
    async qemuPid(vmId) {
      return (await server.vmRecord(vmId)).process.pid;
    },
    uplinkAddress: (n) => node.network.uplink_range.replace(/\d+\/\d+$/, String(n)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return server;
}
