/** All that carries the mark of an installation, on this machine. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { databaseFileOwner, databaseProcesses, isDatabaseSocket } from "@mags/control-plane";
import { imagesHeldBySandboxes, type Owner, observeNode, type Trace } from "@mags/node";
import { POSTGRES_UID, type ServerConfig } from "../config.ts";
import { leftGateway } from "../gateway/keep-gateway.ts";
import { INSTALLED, isInstalled, placesOf } from "../installation.ts";
import { whileUnchanged } from "../installed/installation-lock.ts";
import { isInstallation, readInstalledParts, unneededParts } from "../installed/unneeded-parts.ts";
import { nodeOptionsOf } from "../parts.ts";

const INSTALLATION: Owner = { kind: "installation" };
const SERVER: Owner = { kind: "server" };
const UNFINISHED: Owner = { kind: "nobody", swept: true };
const UNKNOWN: Owner = { kind: "nobody", swept: false };

/** What lies in the data directory besides the node's. */
const FILES: Readonly<Record<string, Owner | null>> = {
  postgres: null,
  pgsock: null,
  uploads: null,
  objects: INSTALLATION,
  "objects.id": INSTALLATION,
  "objects.id.new": UNFINISHED,
  blocks: INSTALLATION,
  "block-server.log": INSTALLATION,
  "block-server.log.1": INSTALLATION,
  "sealing.key": INSTALLATION,
  "sealing.key.new": UNFINISHED,
  gateway: SERVER,
  "gateway.json": SERVER,
  "gateway.json.new": UNFINISHED,
  "magsd.lock": INSTALLATION,
  "magsd.log": INSTALLATION,
  "magsd.log.1": INSTALLATION,
  "postgres.log": INSTALLATION,
  "postgres.log.1": INSTALLATION,
  "control.sock": SERVER,
  "control.sock.new": UNFINISHED,
};

export async function observe(config: ServerConfig): Promise<Trace[]> {
  const looks = [
    observeNode(nodeOptionsOf(config), FILES),
    ...[database(config), gateway(config), uploads(config), installation(config)],
  ];
  return (await Promise.all(looks)).flat();
}

async function database(config: ServerConfig): Promise<Trace[]> {
  const { postgresData, postgresSockets } = placesOf(config);
  const names = (folder: string) => readdir(folder).catch(() => [] as string[]);
  const owners = { database: INSTALLATION, unfinished: UNFINISHED, unknown: UNKNOWN };
  const files = (await names(postgresData)).map((name): Trace => {
    return { what: "database", name: join(postgresData, name), owner: owners[databaseFileOwner(name)] };
  });
  const sockets = (await names(postgresSockets)).map((name): Trace => {
    return { what: "socket", name: join(postgresSockets, name), owner: isDatabaseSocket(name) ? SERVER : UNKNOWN };
  });
  const processes = await databaseProcesses({ dataDir: postgresData, uid: POSTGRES_UID });
  const running = processes.map(({ pid }): Trace => ({ what: "database process", name: String(pid), owner: SERVER }));
  return [...files, ...sockets, ...running];
}

async function gateway(config: ServerConfig): Promise<Trace[]> {
  const left = await leftGateway(placesOf(config).gatewayProcess);
  return left ? [{ what: "gateway process", name: String(left.pid), owner: SERVER }] : [];
}

async function uploads(config: ServerConfig): Promise<Trace[]> {
  const folder = placesOf(config).uploads;
  return (await readdir(folder).catch(() => [])).map((name): Trace => {
    const owner: Owner = name.endsWith(".part") ? { kind: "work", name } : { kind: "upload", id: name };
    return { what: "upload", name: join(folder, name), owner };
  });
}

async function installation(config: ServerConfig): Promise<Trace[]> {
  if (!isInstalled(config)) return [];
  return installedTraces(INSTALLED.program, await imagesHeldBySandboxes(config.data_dir));
}

/** Nothing while somebody installs: what is new has no owner yet then, and soon has one. */
export async function installedTraces(program: string, held: readonly string[]): Promise<Trace[]> {
  if (!isInstallation(program)) return [];
  const parts = await whileUnchanged(program, () => readInstalledParts(program, held));
  return (parts ? unneededParts(parts) : []).map((part) => {
    return { what: "part of an older release", name: join(program, part), owner: UNFINISHED };
  });
}
