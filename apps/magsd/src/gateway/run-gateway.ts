/**
 * The process of a server's gateway: it encrypts what passes between clients and guests, which in the server would hold up
 * the starts of jobs, and it reads what strangers send, with the rights of nobody. Ends with the server, however that ends.
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { isAppError, type LogFields, type Logger, messageOf } from "@mags/core";
import { connectUpstream } from "@mags/edge";
import { openSsh } from "../ssh.ts";
import type { GatewayNews, GatewayTask } from "./messages.ts";

/** A server that is slow is not one that has gone: its socket would close. */
const PINGING = { pingMs: 60_000 };

/** Resolves when its server has gone, or wants it to end. Must have been started by `startGatewayProcess`. */
export async function runGateway(): Promise<void> {
  const ending = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => ending.abort());
  process.on("SIGHUP", () => {}); // the terminal of the server may close
  process.stdout.on("error", () => ending.abort());
  const lines = createInterface({ input: process.stdin });
  lines.on("close", () => ending.abort());
  const [text] = await once(lines, "line", { signal: ending.signal });
  const task: GatewayTask = JSON.parse(text);
  const log = logTo({});
  await using scope = new AsyncDisposableStack();
  try {
    const upstream = scope.use(connectUpstream({ log }, { path: task.socket, pinging: PINGING }));
    await upstream.connected({ signal: ending.signal });
    const gateway = scope.use(await openSsh({ ...upstream, log }, task.ssh));
    if (task.uid !== null) becomeNobody(task.uid);
    tell({ type: "listening", port: gateway.port, fingerprint: gateway.fingerprint });
  } catch (error) {
    const code = isAppError(error) ? error.code : "internal";
    if (!ending.signal.aborted) tell({ type: "failed", code, message: messageOf(error) });
    return;
  }
  if (!ending.signal.aborted) await once(ending.signal, "abort");
}

function becomeNobody(uid: number): void {
  process.setgroups?.([]);
  process.setgid?.(uid);
  process.setuid?.(uid);
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
