/**
 * The process of a gateway, of a server or an edge: it encrypts what passes between clients and guests, which in the server
 * would hold up the starts of jobs, and it reads what strangers send, with the rights of nobody. Ends with whoever started
 * it, however that ends.
 */
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { AppError, isAppError, type LogFields, type Logger, messageOf, Secret, sleep, untilAborted } from "@mags/core";
import { connectUpstream, type RemoteUpstream } from "@mags/edge";
import { openSsh } from "../ssh.ts";
import { openUrls } from "../urls.ts";
import type { GatewayNews, GatewayOrder, GatewayTask } from "./messages.ts";

/** A server that is slow is not one that has gone: its socket would close. */
const PINGING = { pingMs: 60_000 };
const PAUSE_MS = 200;
const ALIVE_MS = 1_000;

/** Resolves when its magsd has gone, or wants it to end. Must have been started by `spawnGateway`. */
export async function runGateway(): Promise<void> {
  const ending = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => ending.abort());
  process.on("SIGHUP", () => {}); // the terminal of the server may close
  process.stdout.on("error", () => ending.abort());
  const lines = createInterface({ input: process.stdin });
  lines.on("close", () => ending.abort());
  const { task, orders } = await hear(lines, { signal: ending.signal });
  const log = logTo({});
  await using scope = new AsyncDisposableStack();
  try {
    const alive = setInterval(() => tell({ type: "alive" }), ALIVE_MS);
    scope.defer(() => clearInterval(alive));
    const onProblem = (problem: string | null) => tell({ type: "upstream", problem });
    const upstream = scope.use(connectUpstream({ log, onProblem }, placeOf(task)));
    const { node, directory, visits, urls: urlDirectory } = upstream;
    const until = { signal: ending.signal };
    const hostKey = task.ssh && (await hostKeyOf(upstream, until));
    await upstream.connected(until);
    // Clients of both are left at the same time.
    const gateways: AsyncDisposable[] = [];
    scope.defer(async () => {
      await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
    });
    const opened = <T extends AsyncDisposable>(gateway: T): T => {
      gateways.push(gateway);
      return gateway;
    };
    const ssh =
      task.ssh &&
      hostKey &&
      opened(await openSsh({ log, node, directory: { ...directory, hostKey: async () => hostKey } }, task.ssh));
    const urls = task.urls && opened(await openUrls({ log, node: visits, directory: urlDirectory }, task.urls));
    if (task.uid !== null) becomeNobody(task.uid);
    orders.follow(({ certificates }) => urls?.certificates?.replace(certificates));
    tell({
      type: "listening",
      ssh: ssh && { port: ssh.port, fingerprint: ssh.fingerprint },
      urls: urls && { port: urls.port, plainPort: urls.plainPort },
    });
  } catch (error) {
    const code = isAppError(error) ? error.code : "internal";
    if (!ending.signal.aborted) tell({ type: "failed", code, message: messageOf(error) });
    return;
  }
  if (!ending.signal.aborted) await once(ending.signal, "abort");
}

interface Orders {
  /** Called with the last that has come, and each that comes. */
  follow(listener: (order: GatewayOrder) => void): void;
}

/** What magsd says: first the task, then orders. @throws the signal's reason */
async function hear(lines: Interface, { signal }: { readonly signal: AbortSignal }) {
  const first = Promise.withResolvers<string>();
  let listener: ((order: GatewayOrder) => void) | undefined;
  let waiting: GatewayOrder | undefined;
  lines.once("line", (text: string) => {
    first.resolve(text);
    lines.on("line", (order: string) => {
      if (listener) listener(JSON.parse(order));
      else waiting = JSON.parse(order);
    });
  });
  const task: GatewayTask = JSON.parse(await untilAborted(first.promise, signal));
  const orders: Orders = {
    follow(given) {
      listener = given;
      if (waiting) given(waiting);
    },
  };
  return { task, orders };
}

function placeOf({ upstream }: GatewayTask): Parameters<typeof connectUpstream>[1] {
  return "path" in upstream
    ? { path: upstream.path, pinging: PINGING }
    : { ...upstream, secret: new Secret(upstream.secret) };
}

/** Waits for the server. @throws the signal's reason */
async function hostKeyOf(upstream: RemoteUpstream, { signal }: { readonly signal: AbortSignal }): Promise<Secret> {
  for (;;) {
    try {
      await upstream.connected({ signal });
      return await upstream.directory.hostKey();
    } catch (error) {
      signal.throwIfAborted();
      if (!isAppError(error, "unavailable")) throw error;
      await sleep(PAUSE_MS, { signal });
    }
  }
}

function becomeNobody(uid: number): void {
  try {
    process.setgroups?.([]);
    process.setgid?.(uid);
    process.setuid?.(uid);
  } catch (cause) {
    const message = `the gateway cannot give up the rights of root (${messageOf(cause)}): start magsd as another user`;
    throw new AppError("forbidden", message, { cause });
  }
}

function logTo(own: LogFields): Logger {
  const at = (level: Extract<GatewayNews, { readonly type: "log" }>["level"]) => (event: string, fields?: LogFields) =>
    tell({ type: "log", level, event, fields: { ...own, ...fields } });
  return {
    ...{ debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    child: (fields) => logTo({ ...own, ...fields }),
  };
}

function tell(news: GatewayNews): void {
  process.stdout.write(`${JSON.stringify(news)}\n`);
}
