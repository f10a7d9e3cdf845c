/** A server whose object store is a Ceph radosgw, behind a proxy that counts. */
import { readdir, readFile } from "node:fs/promises";
import { startServer, type TestServer } from "@mags/e2e/harness";
import { type Radosgw, startRadosgw } from "@mags/test-kit";
import { type BenchClient, createBenchClient } from "./api.ts";
import { type CountingProxy, startCountingProxy } from "./counting-proxy.ts";
import { type Usage, usageOf } from "./processes.ts";

export interface SyncEvent {
  readonly changedBytes: number;
  readonly sentBytes: number;
  readonly puts: number;
  readonly stallMs: number;
}

export interface SyncedServer extends AsyncDisposable {
  readonly server: TestServer;
  readonly client: BenchClient;
  readonly gateway: Radosgw;
  readonly proxy: CountingProxy;
  /** Makes a job and waits until its script has ended. @returns its id. */
  begin(body: Readonly<Record<string, unknown>>): Promise<string>;
  /** Milliseconds until what has changed is published. */
  sync(id: string): Promise<number>;
  /** What is told of the syncs of a job, oldest first. */
  syncs(id: string): Promise<readonly SyncEvent[]>;
  stop(id: string): Promise<void>;
  blockServer(): Promise<Usage & { readonly pid: number }>;
}

const BUCKET = "mags";

export async function startSyncedServer(): Promise<SyncedServer> {
  await using scope = new AsyncDisposableStack();
  const gateway = scope.use(await startRadosgw());
  await gateway.createBucket(BUCKET);
  const proxy = scope.use(await startCountingProxy(gateway.endpoint));
  const object_store = {
    ...{ kind: "s3", endpoint: proxy.url, region: gateway.region, bucket: BUCKET },
    ...{ access_key: gateway.accessKey, secret_key: gateway.secretKey },
  };
  const server = scope.use(await startServer({ config: { object_store } }));
  const client = createBenchClient(server.url, server.token);
  scope.defer(() => client.close());
  const resources = scope.move();

  async function call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const reply = await server.api.call(method, `/api/v1/mags-jobs${path}`, body);
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
    return reply.body as Record<string, unknown>;
  }

  return {
    ...{ server, client, gateway, proxy },
    async begin(body) {
      const id = await server.submit(body);
      for (;;) {
        const status = await server.status(id);
        if (status.status === "error") throw new Error(status.error_message);
        if (status.exit_code === 0) return id;
        if (status.exit_code !== undefined) throw new Error(`the script ended with ${status.exit_code}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    async sync(id) {
      const began = performance.now();
      await call("POST", `/${id}/sync`);
      return performance.now() - began;
    },
    async syncs(id) {
      interface Event {
        readonly name: string;
        readonly data: Readonly<Record<string, number>>;
      }
      const { events } = (await call("GET", `/${id}/events`)) as unknown as { events: Event[] };
      return events
        .filter(({ name, data }) => name === "synced" && data.duration_ms !== 0)
        .map(({ data }) => ({
          ...{ changedBytes: data.changed_bytes ?? 0, sentBytes: data.sent_bytes ?? 0 },
          ...{ puts: data.puts ?? 0, stallMs: data.stall_ms ?? Number.NaN },
        }));
    },
    async stop(id) {
      await call("POST", `/${id}/stop`);
      await server.ended(id);
    },
    async blockServer() {
      const pid = await blockServerPid(server.dataDir);
      return { pid, ...(await usageOf(pid)) };
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** It says nowhere else which process it is. */
async function blockServerPid(dataDir: string): Promise<number> {
  const configFile = dataDir.replace(/\/d$/, "/magsd.json");
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes("\0block-server\0") && command.includes(configFile)) return Number(pid);
  }
  throw new Error("there is no block server");
}
