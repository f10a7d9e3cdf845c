/**
 * SSH into guests. Clients end here: what they ask for is done by the node's calls, there is no sshd in a guest. Owns the
 * listening socket and all connections; who may sign in is the business of the directory.
 */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import ssh2 from "ssh2";
import { ALGORITHMS } from "./algorithms.ts";
import { type ConnectionDeps, type SshLimits, serveConnection } from "./connection.ts";

export interface SshGatewayOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  /** OpenSSH format. */
  readonly hostKey: string;
  readonly limits: SshLimits & {
    readonly connections: number;
    /** Of one address, before anybody has signed in. */
    readonly strangers: number;
  };
}

export interface SshGateway extends AsyncDisposable {
  readonly port: number;
}

interface Taken {
  readonly socket: Socket;
  readonly onGreeted: () => void;
  readonly onSignedIn: () => void;
}

const IDENT = "Mags";
const KEEP_ALIVE_MS = 30_000;
const KEEP_ALIVES = 4;
const GOODBYE_MS = 2_000;

/** @throws what listening throws. */
export async function startSshGateway(
  deps: Pick<ConnectionDeps, "directory" | "node" | "log">,
  options: SshGatewayOptions,
): Promise<SshGateway> {
  const { limits } = options;
  const ending = new AbortController();
  const sockets = new Map<string, Taken>();
  const strangers = new Map<string, number>();
  const sshd = new ssh2.Server({
    ...{ hostKeys: [options.hostKey], algorithms: ALGORITHMS, ident: IDENT },
    ...{ keepaliveInterval: KEEP_ALIVE_MS, keepaliveCountMax: KEEP_ALIVES },
  });

  /** Counted until it has signed in, or has gone. */
  function strangerFrom(address: string): (() => void) | undefined {
    const count = strangers.get(address) ?? 0;
    if (count >= limits.strangers) return undefined;
    strangers.set(address, count + 1);
    let isCounted = true;
    return () => {
      if (!isCounted) return;
      isCounted = false;
      const left = (strangers.get(address) ?? 1) - 1;
      if (left === 0) strangers.delete(address);
      else strangers.set(address, left);
    };
  }

  function take(socket: Socket): void {
    socket.on("error", () => {});
    const isRoom = sockets.size < limits.connections && !ending.signal.aborted;
    const onSignedIn = isRoom ? strangerFrom(socket.remoteAddress ?? "") : undefined;
    if (!onSignedIn) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    // Nobody else has it before the client has said what it speaks.
    const late = setTimeout(() => socket.destroy(), limits.signInMs);
    const onGreeted = () => clearTimeout(late);
    const name = nameOf(socket.remoteAddress, socket.remotePort);
    sockets.set(name, { socket, onGreeted, onSignedIn });
    socket.on("close", () => {
      clearTimeout(late);
      sockets.delete(name);
      onSignedIn();
    });
    sshd.injectSocket(socket);
  }

  sshd.on("connection", (client, { ip, port }) => {
    const taken = sockets.get(nameOf(ip, port));
    if (!taken) {
      client.end(); // it has gone meanwhile
      return;
    }
    const { socket, onSignedIn } = taken;
    taken.onGreeted();
    serveConnection(client, socket, { ...deps, limits, signal: ending.signal, onSignedIn });
  });
  sshd.on("error", (error: Error) => deps.log.error("ssh.failed", { error: error.message }));

  const server: Server = createServer(take);
  server.listen(options.port, options.host);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return {
    port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      ending.abort(new Error("the server is ending"));
      const late = setTimeout(() => {
        for (const { socket } of sockets.values()) socket.destroy();
      }, GOODBYE_MS);
      await closed;
      clearTimeout(late);
    },
  };
}

const nameOf = (address: string | undefined, port: number | undefined) => `${address} ${port}`;
