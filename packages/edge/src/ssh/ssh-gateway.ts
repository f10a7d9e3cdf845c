/**
 * SSH into guests. Clients end here: what they ask for is done by the node's calls, there is no sshd in a guest. Owns the
 * listening sockets and all connections; who may sign in, and which ports there are, is the business of the directory.
 */
import type { Socket } from "node:net";
import { sleep } from "@mags/core";
import type { AccountId } from "@mags/domain";
import ssh2 from "ssh2";
import { ALGORITHMS } from "./algorithms.ts";
import { type ConnectionDeps, type SshLimits, serveConnection } from "./connection.ts";
import { openListeners } from "./listeners.ts";
import { createPlaces } from "./places.ts";
import { keyOf } from "./sign-in.ts";
import { socketOf } from "./ssh2-inside.ts";
import { createStrangers } from "./strangers.ts";

export interface SshGatewayOptions {
  readonly host: string;
  /** Of all jobs. 0: one that is free. */
  readonly port: number;
  readonly limits: SshLimits & {
    readonly connections: number;
    /** Of one account, of those. */
    readonly accountConnections: number;
    /** Sessions, forwarded connections and what listens in guests, of one account. */
    readonly accountChannels: number;
    /** Of one address, before anybody has signed in. */
    readonly strangers: number;
    /** A client that is silent is asked so often, and given up after four times. */
    readonly keepAliveMs: number;
  };
}

/** Disposing of it says goodbye to all clients, and hangs up what they run. */
export interface SshGateway extends AsyncDisposable {
  /** Of all jobs. */
  readonly port: number;
  /** Of the host key: `SHA256:` and unpadded base64. */
  readonly fingerprint: string;
}

interface Taken {
  /** Has said what it speaks. */
  greeted: boolean;
  readonly late: NodeJS.Timeout;
  readonly onSignedIn: () => void;
}

/** Clients of OpenSSH tell servers which say that they are it when a reader has gone; the version is the one whose ways these are. */
const IDENT = "OpenSSH_9.6 Mags";
const KEEP_ALIVES = 4;
const PARTING_MS = 2_000;
const GOODBYE_MS = 2_000;

/** @throws what listening throws, and what the directory does when it has no host key. */
export async function startSshGateway(
  deps: Pick<ConnectionDeps, "directory" | "node" | "log">,
  { host, port, limits }: SshGatewayOptions,
): Promise<SshGateway> {
  const { directory, log } = deps;
  const parting = new AbortController();
  const ending = new AbortController();
  const sockets = new Map<Socket, Taken>();
  const work = new Set<Promise<void>>();
  const strangers = createStrangers(limits.strangers);
  const ofAccounts = {
    connections: createPlaces<AccountId>(limits.accountConnections),
    channels: createPlaces<AccountId>(limits.accountChannels),
  };
  const hostKey = (await directory.hostKey()).reveal();
  const fingerprint = fingerprintOf(hostKey);
  const sshd = new ssh2.Server({
    ...{ hostKeys: [hostKey], algorithms: ALGORITHMS, ident: IDENT },
    ...{ keepaliveInterval: limits.keepAliveMs, keepaliveCountMax: KEEP_ALIVES },
  });

  function take(socket: Socket): void {
    socket.on("error", () => {});
    const isRoom = sockets.size < limits.connections && !parting.signal.aborted;
    const onSignedIn = isRoom ? strangers.take(socket.remoteAddress ?? "") : undefined;
    if (!onSignedIn) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    // Nobody else has it before it has greeted.
    const late = setTimeout(() => socket.destroy(), limits.signInMs);
    sockets.set(socket, { greeted: false, late, onSignedIn });
    socket.on("close", () => {
      clearTimeout(late);
      sockets.delete(socket);
      onSignedIn();
    });
    sshd.injectSocket(socket);
  }

  function track(one: Promise<void>): void {
    const tracked = one.finally(() => work.delete(tracked));
    work.add(tracked);
  }

  sshd.on("connection", (client) => {
    const socket = socketOf(client);
    const taken = sockets.get(socket);
    if (!taken) {
      client.end(); // it has gone meanwhile
      return;
    }
    const { late, onSignedIn } = taken;
    clearTimeout(late);
    taken.greeted = true;
    const signals = { parting: parting.signal, signal: ending.signal };
    serveConnection(client, socket, { ...deps, ...signals, limits, track, onSignedIn, ofAccounts });
  });
  sshd.on("error", (error: Error) => log.error("ssh.failed", { error: error.message }));

  const listeners = await openListeners({ take, log }, { host, port });
  const unwatch = directory.watchPorts((ports) => listeners.set(ports));
  let closing: Promise<void> | undefined;

  async function close(): Promise<void> {
    unwatch();
    const closed = listeners[Symbol.asyncDispose]();
    parting.abort();
    for (const [socket, { greeted }] of sockets) if (!greeted) socket.destroy();
    // Of a client that is told to go in the same breath, the last words may be lost.
    await within(PARTING_MS, closed);
    ending.abort(new Error("the server is ending"));
    await within(GOODBYE_MS, closed);
    // Each tells of its end when it has closed, which is later than its server's.
    const told = [...sockets.keys()].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of sockets.keys()) socket.destroy();
    await closed;
    await Promise.all(told);
    // What was still being started is hung up by who runs it.
    await within(GOODBYE_MS, Promise.all(work));
  }

  return {
    port: listeners.port,
    fingerprint,
    [Symbol.asyncDispose]() {
      closing ??= close();
      return closing;
    },
  };
}

/** Resolves when the promise does, or after that time. */
async function within(ms: number, promise: PromiseLike<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([promise, sleep(ms, { signal: over.signal }).catch(() => {})]);
  over.abort();
}

function fingerprintOf(privateKey: string): string {
  const [key] = [ssh2.utils.parseKey(privateKey)].flat();
  if (!key || key instanceof Error) throw new Error("the host key cannot be read", { cause: key });
  return keyOf(key.type, key.getPublicSSH()).fingerprint;
}
