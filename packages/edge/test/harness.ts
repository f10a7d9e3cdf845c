/** A gateway in front of commands and sockets of this machine, and the programs of OpenSSH against it. */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, Secret, silentLogger, untilAborted } from "@mags/core";
import type { AccountId, GuestId, SshDirectory, SshNote } from "@mags/domain";
import { newJobId } from "@mags/domain";
import { createSimulatedExecs, createSimulatedSockets, makeTempDir } from "@mags/test-kit";
import ssh2 from "ssh2";
import { type EdgeUpstream, type SshGateway, type SshGatewayOptions, startSshGateway } from "../src/index.ts";
import { connectApart } from "./apart.ts";
import { createSleep, type Sleep } from "./sleep.ts";

export interface Ran {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly input?: string | Buffer;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface TestGateway extends AsyncDisposable {
  readonly gateway: SshGateway;
  readonly notes: readonly SshNote[];
  /** What guests have as /run/mags. */
  readonly runFolder: string;
  /** Ports at which somebody asked to sign in. */
  readonly ports: readonly number[];
  /** What the directory wants to be listened on. @returns what cannot be. */
  listenOn(ports: readonly number[]): Promise<readonly number[]>;
  /** The guest ends. */
  end(): void;
  /** What listens in the guest ends with its sleep; what is to listen again waits for the wake. */
  readonly sleep: Sleep;
  readonly execs: ReturnType<typeof createSimulatedExecs>;
  /** A client of ssh2 that has signed in, as `box`; `other` is another account's. It is ended with the gateway. */
  signIn(options?: ssh2.ConnectConfig): Promise<ssh2.Client>;
  /** Public keys of the user, as they are sent, base64. */
  readonly keys: Set<string>;
  /** Private keys: of somebody who may sign in as `box` and `other`, and of a stranger. */
  readonly keyFile: string;
  readonly strangersKeyFile: string;
  /** Options that make any program of OpenSSH use this gateway. */
  options(keyFile?: string, port?: number): string[];
  ssh(
    args: readonly string[],
    options?: { readonly input?: string | Buffer; readonly keyFile?: string; readonly port?: number },
  ): Promise<Ran>;
  run(program: string, args: readonly string[], options?: RunOptions): Promise<Ran>;
}

/** Where the gateway is: in the process of all else, or apart from it. */
export type Place = "within" | "apart";

const LIMITS = {
  ...{ signInMs: 5_000, attempts: 6, channels: 20, connections: 100, strangers: 50, keepAliveMs: 30_000 },
  ...{ accountConnections: 100, accountChannels: 1_000 },
};

export async function startTestGateway(
  limits: Partial<SshGatewayOptions["limits"]> = {},
  place: Place = "within",
): Promise<TestGateway> {
  await using scope = new AsyncDisposableStack();
  const temp = scope.use(await makeTempDir());
  const guest: GuestId = newJobId();
  const accountId = randomUUID() as AccountId;
  const otherAccountId = randomUUID() as AccountId;
  const execs = createSimulatedExecs({ awaken: () => {} });
  scope.defer(() => execs.endAll());
  const newKey = async (name: string) => {
    const file = join(temp.path, name);
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file]);
    const [, blob = ""] = (await readFile(`${file}.pub`, "utf8")).split(" ");
    return { file, blob, private: await readFile(file, "utf8") };
  };
  const [host, own, stranger] = [await newKey("host"), await newKey("own"), await newKey("stranger")];
  const keys = new Set([own.blob]);
  const sockets = createSimulatedSockets({ awaken: () => {} });
  /** This machine has no such folder. */
  const inTemp = (path: string) => path.replace(/^\/run\/mags/, temp.path);
  const notes: SshNote[] = [];
  const ports: number[] = [];
  const sleep = createSleep();
  const over = Promise.withResolvers<void>();
  let isOver = false;
  const watched = Promise.withResolvers<void>();
  let listenOn = async (_ports: readonly number[]): Promise<readonly number[]> => [];
  const whole: EdgeUpstream & { readonly directory: SshDirectory } = {
    urls: null,
    node: {
      startExec(start) {
        const { SSH_AUTH_SOCK } = start.environment;
        const agent = SSH_AUTH_SOCK && { SSH_AUTH_SOCK: inTemp(SSH_AUTH_SOCK) };
        return execs.startExec({ ...start, environment: { ...start.environment, ...agent } });
      },
      connect: sockets.connect,
      async listen(one, at, { signal, wakes = true }) {
        const until = await sleep.untilAwake({ signal, wakes });
        return sockets.listen(one, "path" in at ? { path: inTemp(at.path) } : at, { signal: until });
      },
    },
    directory: {
      hostKey: async () => new Secret(host.private),
      find: async ({ login, key, port }) => {
        ports.push(port);
        if (login === "away") throw new AppError("unavailable", "the server cannot be reached: 192.0.2.9 is silent");
        return (login === "box" || login === "other") && keys.has(key.blob.toString("base64"))
          ? {
              ...{ accountId: login === "box" ? accountId : otherAccountId },
              ...{ keyName: "own", fingerprint: key.fingerprint },
              ...{ target: login, jobId: null, refusal: null },
            }
          : null;
      },
      async guest() {
        if (isOver) throw new AppError("job_not_running", "box is not running: it has ended");
        return guest;
      },
      untilOver: (_guest, { signal }) => untilAborted(over.promise, signal),
      note: (note) => void notes.push(note),
      watchPorts(listener) {
        listenOn = (ports) => listener(new Set(ports));
        watched.resolve();
        return () => {
          listenOn = async () => [];
        };
      },
    },
  };
  const upstream = place === "within" ? whole : scope.use(await connectApart(whole));
  const { directory, node } = upstream;
  const gateway = scope.use(
    await startSshGateway(
      { log: silentLogger, directory, node },
      { host: "127.0.0.1", port: 0, limits: { ...LIMITS, ...limits } },
    ),
  );

  await watched.promise;

  async function run(program: string, args: readonly string[], { input = "", environment }: RunOptions = {}) {
    const env = { ...process.env, ...environment };
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const [exitCode] = (await once(child, "close")) as [number | null];
    clearTimeout(timer);
    return { exitCode, stdout, stderr };
  }
  const options = (keyFile = own.file, port = gateway.port) => [
    ...["-F", "none", "-o", `Port=${port}`, "-o", "HostName=127.0.0.1", "-o", `IdentityFile=${keyFile}`],
    ...["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
    ...["-o", "BatchMode=yes", "-o", "LogLevel=ERROR"],
  ];
  const owned = scope.move();
  async function signIn(more: ssh2.ConnectConfig = {}): Promise<ssh2.Client> {
    const client = new ssh2.Client();
    owned.defer(() => void client.destroy());
    client.connect({ host: "127.0.0.1", port: gateway.port, username: "box", privateKey: own.private, ...more });
    await once(client, "ready");
    client.setNoDelay(true);
    client.on("error", () => {});
    return client;
  }
  return {
    ...{
      gateway,
      notes,
      runFolder: temp.path,
      sleep,
      ports,
      signIn,
      keys,
      execs,
      options,
      run,
      keyFile: own.file,
      strangersKeyFile: stranger.file,
    },
    end() {
      isOver = true;
      over.resolve();
    },
    listenOn: (wanted) => listenOn(wanted),
    ssh: (args, { input, keyFile, port } = {}) =>
      run("ssh", [...options(keyFile, port), ...args], input === undefined ? {} : { input }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
