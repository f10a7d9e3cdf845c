/** A block server on a store in memory, and disks made with QEMU's tools out of the runtime root. */
import { execFile, spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Clock, silentLogger, systemClock } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { toolCommand } from "@mags/runtime-root";
import { findArtifacts, makeTempDir, waitFor } from "@mags/test-kit";
import { exportDisk, openVersion, recordsOf, type VersionName } from "@mags/workspace-store";
import {
  type BlockServer,
  type Caller,
  call,
  controlSocketOf,
  type DiskSource,
  type ParamsOf,
  type ResultOf,
  type SyncCall,
  type SyncResult,
  startBlockServer,
} from "../src/index.ts";

const run = promisify(execFile);
const DEADLINE_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
export const MIB = 1024 ** 2;
export const DISK_BYTES = 128 * MIB;
/** As an image any file will do: this one. */
export const IMAGE = {
  name: "standard",
  digest: `sha256:${createHash("sha256")
    .update(readFileSync(import.meta.filename))
    .digest("hex")}`,
};
export const IMAGE_FILES = { ...IMAGE, disk: import.meta.filename, caBundle: null };

/** Runs a tool of QEMU. */
export async function tool(name: string, ...args: string[]): Promise<string> {
  const artifacts = findArtifacts();
  const root = { dir: artifacts.runtime, launcher: artifacts.launcher };
  const { file, args: all } = toolCommand(root, `/usr/bin/${name}`, args);
  return (await run(file, [...all], { timeout: DEADLINE_MS })).stdout;
}

/** Commands of qemu-io on a disk, one after the other. */
export const write = (disk: string, ...commands: string[]) =>
  tool("qemu-io", "-f", "qcow2", ...commands.flatMap((command) => ["-c", command]), disk);

export const contentsOf = async (disk: string): Promise<Buffer> => {
  await tool("qemu-img", "convert", "-f", "qcow2", "-O", "raw", disk, `${disk}.raw`);
  return readFile(`${disk}.raw`);
};

/** What QEMU exports of a disk while the work goes on. */
export async function exported<T>(
  disk: string,
  options: { readonly bitmap?: string; readonly depths?: true },
  work: (source: DiskSource) => Promise<T>,
): Promise<T> {
  const artifacts = findArtifacts();
  const socket = `${disk}.sock`;
  const { file, args } = toolCommand({ dir: artifacts.runtime, launcher: artifacts.launcher }, "/usr/bin/qemu-nbd", [
    ...["-f", "qcow2", "-t", "-k", socket, "-x", "disk"],
    ...["-e", "2"], // the look whether it listens is one, until it has noticed that it is over
    ...(options.bitmap === undefined ? [] : ["-B", options.bitmap]),
    // Only an image that is not opened read only has anything copied to it.
    ...(options.depths ? ["-A"] : ["-r"]),
    disk,
  ]);
  const child = spawn(file, [...args], { stdio: "ignore" });
  const exited = once(child, "exit");
  try {
    await waitFor(() => listens(socket), { what: "qemu-nbd", deadlineMs: DEADLINE_MS });
    const { bitmap = null } = options;
    return await work({ socket, exportName: "disk", bitmap });
  } finally {
    child.kill("SIGTERM");
    // One that has just begun may miss that.
    const late = setTimeout(() => child.kill("SIGKILL"), 2_000);
    await exited;
    clearTimeout(late);
  }
}

/** The file of a socket is there before somebody listens on it. */
function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => probe.destroy());
    probe.once("error", () => {});
    probe.once("close", (failed) => resolve(!failed));
  });
}

type Ask = <Name extends Parameters<Caller>[0]>(name: Name, params: ParamsOf<Name>) => Promise<ResultOf<Name>>;

export interface TestServer extends AsyncDisposable {
  readonly account: string;
  readonly ask: Ask;
  sync(what: Pick<SyncCall, "workspace" | "parent" | "source"> & Partial<SyncCall>): Promise<SyncResult>;
  /** What a version holds, read from nothing but the store. */
  contents(workspace: string, version: VersionName): Promise<Buffer>;
  /** Another process takes its place, on the same directory. */
  restart(): Promise<void>;
}

export async function startTestServer(
  store: ObjectStore,
  directory: string,
  {
    holder = "node-a",
    account = randomUUID() as string,
    clock = systemClock as Clock,
    graceMs = 0,
    cacheBytes = 64 * MIB,
  } = {},
): Promise<TestServer> {
  const start = (): Promise<BlockServer> =>
    startBlockServer(
      { store, clock, log: silentLogger },
      { directory, build: "test", holder, cacheBytes, graceMs, syncLimitMs: DAY_MS },
    );
  let server = await start();
  const signal = AbortSignal.timeout(5 * DEADLINE_MS);
  const ask: Ask = (name, params) => call(controlSocketOf(directory), name, params, { signal });
  return {
    account,
    ask,
    sync: (what) =>
      ask("sync", {
        ...{
          account,
          name: "w",
          forkedFrom: null,
          image: IMAGE_FILES,
          disk: "disk-1",
          diskBytes: DISK_BYTES,
          reason: "request",
          paced: false,
        },
        ...what,
      }),
    async contents(workspace, name) {
      const records = recordsOf(store, account);
      const version = await openVersion(store, { account, workspace }, { name, records, signal });
      const path = join(directory, `export-${randomUUID()}`);
      await using file = await open(path, "wx");
      await exportDisk(version, file, { records, signal });
      return readFile(path);
    },
    async restart() {
      await server[Symbol.asyncDispose]();
      server = await start();
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export interface TestBench extends AsyncDisposable {
  readonly server: TestServer;
  /** Path of a file that goes with it. */
  at(name: string): string;
}

/** A server on a store, in a folder of its own. */
export async function openTestBench(store: ObjectStore, options: { readonly clock?: Clock } = {}): Promise<TestBench> {
  await using scope = new AsyncDisposableStack();
  const temp = scope.use(await makeTempDir());
  const at = (name: string) => join(temp.path, name);
  const server = scope.use(await startTestServer(store, at("blocks"), options));
  const owned = scope.move();
  return { server, at, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
