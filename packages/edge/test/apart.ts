/** An edge's server and an edge's end of it in one process, over a real connection, in front of this machine. */
import { randomBytes, randomUUID } from "node:crypto";
import { AppError, Secret, silentLogger, untilAborted } from "@mags/core";
import type {
  AccountId,
  ExecId,
  ExecStart,
  GuestId,
  SshDirectory,
  SshNote,
  SshSignIn,
  SshUser,
  UrlAccess,
  UrlRegister,
} from "@mags/domain";
import { newJobId } from "@mags/domain";
import { createSimulatedExecs, createSimulatedSockets } from "@mags/test-kit";
import {
  connectUpstream,
  type EdgeServer,
  type EdgeUpstream,
  type RemoteUpstream,
  startEdgeServer,
} from "../src/index.ts";

export const newSecret = () => new Secret(randomBytes(32).toString("hex"));
export const soon = () => AbortSignal.timeout(60_000);

/** One that serves all there is. */
export interface WholeUpstream extends EdgeUpstream {
  readonly directory: SshDirectory;
  readonly urls: UrlRegister;
}

export interface Apart extends RemoteUpstream {
  readonly server: EdgeServer;
}

/** Resolves when they have found each other. */
export async function connectApart(
  upstream: EdgeUpstream,
  { pingMs = 5_000, secret = newSecret() }: { readonly pingMs?: number; readonly secret?: Secret } = {},
): Promise<Apart> {
  await using scope = new AsyncDisposableStack();
  const at = { host: "127.0.0.1", secret, pinging: { pingMs } };
  const server = scope.use(await startEdgeServer({ upstream, log: silentLogger }, { ...at, port: 0 }));
  const remote = scope.use(connectUpstream({ log: silentLogger }, { ...at, port: server.port }));
  await remote.connected({ signal: soon() });
  const owned = scope.move();
  return Object.assign(remote, { server, [Symbol.asyncDispose]: () => owned.disposeAsync() });
}

/** One guest, which anybody may use. */
export function createWhole() {
  const guest: GuestId = newJobId();
  const accountId = randomUUID() as AccountId;
  const execs = createSimulatedExecs({ awaken: () => {} });
  const notes: SshNote[] = [];
  const over = Promise.withResolvers<void>();
  const watchers = new Set<(ports: ReadonlySet<number>) => Promise<readonly number[]>>();
  const user: SshUser = {
    ...{ accountId, keyName: "own", fingerprint: "SHA256:x" },
    ...{ target: "box", jobId: null, refusal: null },
  };
  const attempt: SshSignIn = {
    ...{ login: "box", port: 22, clientAddress: "192.0.2.1" },
    key: { type: "ssh-ed25519", blob: Buffer.from("key"), fingerprint: "SHA256:x" },
  };
  const accesses: UrlAccess[] = [];
  const upstream: WholeUpstream = {
    node: Object.assign(execs, createSimulatedSockets({ awaken: () => {} })),
    directory: {
      hostKey: async () => new Secret("a key"),
      find: async ({ login }) => (login === "box" ? user : null),
      guest: async () => guest,
      untilOver: (_guest, { signal }) => untilAborted(over.promise, signal),
      note: (note) => void notes.push(note),
      watchPorts(listener) {
        watchers.add(listener);
        return () => watchers.delete(listener);
      },
    },
    urls: {
      async route({ host, pass }) {
        const [, port] = /^port-(\d+)\.example$/.exec(host) ?? [];
        if (port !== undefined) return { accountId, guest, port: Number(port), isPrivate: false, awakeMs: 5 };
        if (host !== "private.example") throw new AppError("url_not_found", `nothing is called ${host}`);
        if (pass === "open") return { accountId, guest, port: 8080, isPrivate: true, awakeMs: null };
        throw new AppError("unauthenticated", "this page is private");
      },
      certificate: async (host) =>
        host === "own.example" ? { certificate: "a certificate", key: new Secret("its key") } : null,
      challenge: async ({ host, token }) => (host === "own.example" ? `${token}.thumbprint` : null),
      areOf: async (hosts) =>
        hosts.map((asked) => asked.guest === guest && /^(private|port-\d+)\.example$/.test(asked.host)),
      note: (access) => void accesses.push(access),
    },
  };
  return {
    ...{ upstream, accountId, guest, execs, notes, accesses, watchers, attempt },
    /** The guest ends. */
    end: () => over.resolve(),
    start: (command: string): ExecStart => ({
      ...{ execId: randomUUID() as ExecId, guest, accountId, command, terminal: null, stdin: true },
      ...{ environment: {}, cwd: null, timeoutMs: null, leavesGroup: false, endsWithClient: true },
    }),
    /** The guest, as it is asked for by who signs in. */
    async signIn({ directory }: Pick<WholeUpstream, "directory">): Promise<GuestId> {
      const found = await directory.find(attempt, { signal: soon() });
      if (!found) throw new Error("nobody may sign in");
      return directory.guest(found, { signal: soon() });
    },
  };
}
