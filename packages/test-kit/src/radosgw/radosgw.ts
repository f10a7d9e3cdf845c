/** A real S3 store for tests: a Ceph of one node behind radosgw, with its data in a folder that goes with it. */
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { AwsClient } from "aws4fetch";
import { waitFor } from "../wait-for.ts";
import { type CephPorts, cephConfig, monitorAddress } from "./ceph-config.ts";
import { type CephPrograms, findCephPrograms } from "./ceph-programs.ts";

export interface Radosgw extends AsyncDisposable {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  createBucket(name: string): Promise<void>;
  /** SIGKILL for all of it. */
  kill(): Promise<void>;
  /** SIGKILL for the program that speaks S3: it is back within a second or two, the rest takes ten. */
  killGateway(): Promise<void>;
  /** SIGSTOP for that program: connections are made and stay, and nothing is answered. */
  stallGateway(): void;
  /** Starts again what was killed, with the data it had, and has go on what stalls. */
  restart(): Promise<void>;
}

const PLACE = "/var/tmp";
const READY_MS = 90_000;
const CONFIG = ["-c", "/mnt/ceph.conf"];
const KEYRING = "/mnt/keyring";
const GATEWAY = "rgw";
const ALL = ["mon", "osd", "mgr"].flatMap((part) => ["--cap", part, "allow *"]);

/** Takes some 15 s, 250 MB of memory and, where files can have holes, as much of the disk. */
export async function startRadosgw(): Promise<Radosgw> {
  await using started = new AsyncDisposableStack();
  // On a disk: Ceph opens its files past the page cache, which file systems in memory may refuse.
  await removeAbandoned();
  const folder = await mkdtemp(`${PLACE}/mags-ceph-${process.pid}-`);
  started.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const programs = findCephPrograms(folder);
  const ports = await freePorts();
  const daemons = new Map<string, ChildProcess>();
  started.defer(kill);

  const endpoint = `http://127.0.0.1:${ports.gateway}`;
  const region = "us-east-1";
  const [accessKey, secretKey] = ["test-access-key", randomUUID()];

  async function start(name: string, program: string, args: readonly string[]): Promise<void> {
    if (!daemons.has(name)) daemons.set(name, await programs.start(name, program, ["-f", ...CONFIG, ...args]));
  }
  const startMonitor = () => start("mon", "ceph-mon", ["-i", "a"]);
  const startStorage = () => start("osd", "ceph-osd", ["-i", "0"]);

  async function startGateway(): Promise<void> {
    await start(GATEWAY, "radosgw", ["-n", "client.rgw.a"]);
    const answers = () =>
      fetch(endpoint).then(
        () => true,
        () => endedEarly([...daemons.values()]),
      );
    await waitFor(answers, { what: "radosgw", deadlineMs: READY_MS, intervalMs: 100 });
  }

  async function killOne(name: string): Promise<void> {
    const daemon = daemons.get(name);
    daemons.delete(name);
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = once(daemon, "exit");
    daemon.kill("SIGKILL");
    await ended;
  }

  async function kill(): Promise<void> {
    for (const name of [...daemons.keys()]) await killOne(name);
  }

  await prepare(programs, folder, ports);
  await startMonitor();
  const disk = randomUUID();
  await programs.run("ceph", [...CONFIG, "osd", "new", disk]);
  await programs.run("ceph-osd", [...CONFIG, "-i", "0", "--mkfs", "--osd-uuid", disk]);
  await startStorage();
  await startGateway();
  const keys = [`--access-key=${accessKey}`, `--secret-key=${secretKey}`];
  await programs.run("radosgw-admin", [...CONFIG, "user", "create", "--uid=test", "--display-name=test", ...keys]);

  const owned = started.move();
  return {
    ...{ endpoint, region, accessKey, secretKey, kill },
    killGateway: () => killOne(GATEWAY),
    stallGateway: () => void daemons.get(GATEWAY)?.kill("SIGSTOP"),
    async createBucket(name) {
      const client = new AwsClient({ accessKeyId: accessKey, secretAccessKey: secretKey, service: "s3", region });
      const { ok, status } = await client.fetch(`${endpoint}/${name}`, { method: "PUT" });
      if (!ok) throw new Error(`the bucket ${name} was not made: ${status}`);
    },
    async restart() {
      daemons.get(GATEWAY)?.kill("SIGCONT");
      await startMonitor();
      await startStorage();
      await startGateway();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Configuration, keys and the monitor's data. */
async function prepare(programs: CephPrograms, folder: string, ports: CephPorts): Promise<void> {
  const fsid = randomUUID();
  for (const name of ["mon", "osd", "run", "log"]) await mkdir(`${folder}/${name}`);
  await writeFile(`${folder}/ceph.conf`, cephConfig(fsid, ports));
  const key = ["--gen-key", "-n"];
  await programs.run("ceph-authtool", ["--create-keyring", KEYRING, ...key, "mon.", "--cap", "mon", "allow *"]);
  for (const name of ["client.admin", "osd.0", "client.rgw.a"])
    await programs.run("ceph-authtool", [KEYRING, ...key, name, ...ALL]);
  const map = ["--create", "--clobber", "--addv", "a", monitorAddress(ports), "--fsid", fsid, "/mnt/monmap"];
  await programs.run("monmaptool", map);
  const data = ["--mkfs", "-i", "a", "--monmap", "/mnt/monmap", "--keyring", KEYRING];
  await programs.run("ceph-mon", [...CONFIG, ...data]);
}

/** Removes folders of processes that were killed; their daemons ended with them. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(PLACE)) {
    const pid = /^mags-ceph-(\d+)-\w+$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      await rm(`${PLACE}/${name}`, { recursive: true, force: true });
  }
}

function endedEarly(daemons: readonly ChildProcess[]): false {
  const ended = daemons.find(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
  if (ended) throw new Error(`a daemon of Ceph ended: ${ended.spawnargs.slice(-4).join(" ")}`);
  return false;
}

/** Ports that nobody listens on at the moment. */
async function freePorts(): Promise<CephPorts> {
  const servers = [createServer(), createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (typeof address === "object" && address) ports.push(address.port);
  }
  for (const server of servers) server.close();
  const [monitorV1 = 0, monitorV2 = 0, gateway = 0] = ports;
  return { monitorV1, monitorV2, gateway };
}
