import { messageOf } from "@mags/core";
import { hostChecks } from "@mags/node";
import type { ServerConfig } from "../config.ts";
import { placesOf } from "../installation.ts";
import { serverStatus } from "../server-process.ts";
import { problemsOf } from "../status.ts";
import { checkEdge } from "./check-edge.ts";
import { checkObjectStore, type Finding } from "./check-object-store.ts";
import { checkSshPort, openSshFinding, whyTaken } from "./check-ssh.ts";
import { checkUrls } from "./check-urls.ts";
import type { CommandContext } from "./context.ts";

const STORE_PATIENCE_MS = 10_000;

const MARK = { ok: "ok  ", warn: "warn", fail: "FAIL" } as const;

export interface DoctorDeps {
  readonly print: (line: string) => void;
  /** Rejects when the commands cannot work at all: wrong user, wrong configuration. */
  readonly load: () => Promise<CommandContext>;
}

/** Lists every requirement, what was found and the cure. @returns exit code 1 when something is missing. */
export async function doctor({ print, load }: DoctorDeps, options: { readonly json: boolean }): Promise<number> {
  const checks = await load().then(
    ({ config }) => (config.role === "edge" ? checkEdge(config) : checkAll(config)),
    (error: unknown): Finding[] => [
      {
        name: "user and configuration",
        state: "fail",
        found: messageOf(error),
        cure: "mend this, then run magsd doctor again",
      },
    ],
  );
  if (options.json) print(JSON.stringify({ checks }));
  else
    for (const { name, state, found, cure } of checks) {
      print(`${MARK[state]}  ${name}: ${found}`);
      if (cure && state !== "ok") print(`        → ${cure}`);
    }
  return checks.some(({ state }) => state === "fail") ? 1 : 0;
}

async function checkAll(config: ServerConfig): Promise<Finding[]> {
  return [
    ...(await hostChecks({ artifactsFile: config.artifacts, dataDirectory: config.data_dir, config: config.node })),
    await checkObjectStore(config, { patienceMs: STORE_PATIENCE_MS }),
    ...(await checkServer(config)),
  ];
}

/** The server answers, or its addresses are free for it. */
async function checkServer(config: ServerConfig): Promise<Finding[]> {
  const name = "server";
  const status = await serverStatus(placesOf(config));
  if (status) {
    if (status.ready && status.role !== "edge") {
      const ok: Finding = { name, state: "ok", found: `magsd ${status.version} answers at ${status.api_url}` };
      const ssh = status.ssh ? [openSshFinding(status.ssh, config)] : [];
      return [ok, ...ssh, ...(await checkUrls(config, status.urls))];
    }
    const cure = `read ${placesOf(config).logFile}`;
    if (status.state === "running")
      return [{ name, state: "fail", found: `magsd (pid ${status.pid}) is not ready: ${problemsOf(status)}`, cure }];
    return [{ name, state: "warn", found: `magsd (pid ${status.pid}) is ${status.state}`, cure: "wait for it" }];
  }
  const { listen, ssh } = config;
  const taken = await whyTaken(listen);
  const server: Finding = taken
    ? {
        name,
        state: "fail",
        found: `not running, and its address cannot be used: ${taken}`,
        cure: "end what listens there, or set listen.port",
      }
    : { name, state: "warn", found: `not running; ${listen.host}:${listen.port} is free`, cure: "magsd start" };
  return [server, ...(ssh.enabled ? [await checkSshPort(ssh)] : []), ...(await checkUrls(config, null))];
}
