/** What `magsd doctor` says on a machine with an edge. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, type Secret, silentLogger, sleep } from "@mags/core";
import { connectUpstream } from "@mags/edge";
import type { ServerConfig } from "../config.ts";
import { readEdgeSecret, type UpstreamConfig } from "../edge-config.ts";
import { placesOf } from "../installation.ts";
import { serverStatus } from "../server-process.ts";
import { problemsOf } from "../status.ts";
import type { Finding } from "./check-object-store.ts";
import { checkSshPort, openSshFinding } from "./check-ssh.ts";
import { checkUrls } from "./check-urls.ts";

const LOOK_MS = 50;

/** Each with what was found, as the user who runs this. @param config  Of the role `edge`. */
export async function checkEdge(config: ServerConfig): Promise<Finding[]> {
  const { upstream: at, ssh } = config;
  if (!at) return [];
  const status = await serverStatus(placesOf(config));
  const secret = await readEdgeSecret(at.secret_file).catch(messageOf);
  const head = [await checkFolder(config.data_dir), findingOf(secret, at)];
  if (!status) {
    const server = typeof secret === "string" ? [] : [await checkUpstream(at, secret)];
    const notRunning: Finding = { name: "edge", state: "warn", found: "not running", cure: "magsd start" };
    const ports = [...(ssh.enabled ? [await checkSshPort(ssh)] : []), ...(await checkUrls(config, null))];
    return [...head, ...ports, ...server, notRunning];
  }
  const running = `magsd ${status.version} (pid ${status.pid})`;
  if (status.state !== "running")
    return [...head, { name: "edge", state: "warn", found: `${running} is ${status.state}`, cure: "wait for it" }];
  const edge: Finding = status.ready
    ? { name: "edge", state: "ok", found: `${running} is connected to ${at.host}:${at.port}` }
    : {
        ...{ name: "edge", state: "fail", found: `${running} is not ready: ${problemsOf(status)}` },
        cure: `${upstreamCure(at)}; or read ${placesOf(config).logFile}`,
      };
  // One that has not reached its server has no ports yet.
  if (status.role !== "edge" || (!status.ssh && !status.urls)) return [...head, edge];
  const open = [...(status.ssh ? [openSshFinding(status.ssh, config)] : []), ...(await checkUrls(config, status.urls))];
  return [...head, ...open, edge];
}

async function checkFolder(path: string): Promise<Finding> {
  const name = "data_dir";
  const problem = await accessProblem(path);
  if (problem === undefined) return { name, state: "ok", found: `${path} can be written to` };
  const mayBeMade = problem === "ENOENT" && (await accessProblem(dirname(path))) === undefined;
  if (mayBeMade) return { name, state: "ok", found: `${path} will be made` };
  const cure = "make it, and give it to the user who runs the edge: chown USER";
  return { name, state: "fail", found: `${path} cannot be written to: ${problem}`, cure };
}

async function accessProblem(path: string): Promise<string | undefined> {
  return access(path, constants.W_OK | constants.X_OK).then(
    () => undefined,
    ({ code }: NodeJS.ErrnoException) => code ?? "it cannot be reached",
  );
}

function findingOf(secret: Secret | string, { secret_file }: UpstreamConfig): Finding {
  const name = "secret";
  if (typeof secret !== "string") return { name, state: "ok", found: `${secret_file}, for its owner only` };
  const cure = "copy the file of the server (edges.secret_file), give it to the user who runs the edge, chmod 600";
  return { name, state: "fail", found: secret, cure };
}

/** Connects as an edge, for a moment. */
async function checkUpstream(at: UpstreamConfig, secret: Secret): Promise<Finding> {
  const name = "server";
  const place = `${at.host}:${at.port}`;
  try {
    await using upstream = connectUpstream({ log: silentLogger }, { host: at.host, port: at.port, secret });
    const untried = upstream.problem;
    // An attempt ends by itself.
    while (upstream.problem !== null && upstream.problem === untried) await sleep(LOOK_MS);
    if (upstream.problem === null) return { name, state: "ok", found: `${place} answers` };
    return { name, state: "fail", found: `${place} cannot be reached: ${upstream.problem}`, cure: upstreamCure(at) };
  } catch (error) {
    return { name, state: "fail", found: messageOf(error), cure: "copy the file of the server (edges.secret_file)" };
  }
}

const upstreamCure = ({ host, port }: UpstreamConfig) =>
  `start the server with edges.listen on ${host}:${port}, let this machine through to it, and give both the same secret`;
