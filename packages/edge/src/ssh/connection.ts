/** One connection of a client, from its first byte to its end. */
import type { Socket } from "node:net";
import { AppError, type Logger } from "@mags/core";
import type { ExecRuntime, GuestAddress, GuestSockets, SshDirectory, SshNote, SshUser } from "@mags/domain";
import type { Channel, Connection, SocketBindInfo, TcpipBindInfo } from "ssh2";
import { createForwards } from "./forwards.ts";
import { createOutputRoom } from "./output-room.ts";
import { serveSession } from "./session.ts";
import { awaitSignIn } from "./sign-in.ts";
import { takeModes } from "./terminal-modes.ts";

export interface ConnectionDeps {
  readonly directory: SshDirectory;
  readonly node: ExecRuntime & GuestSockets;
  readonly limits: SshLimits;
  readonly log: Logger;
  /** Aborted when the gateway ends, right before `signal`: what is written then still arrives. */
  readonly parting: AbortSignal;
  /** Aborted when the gateway ends. */
  readonly signal: AbortSignal;
  /** Of each session: settles when its command has ended, or was told that its client left. Never rejects. */
  readonly track: (session: Promise<void>) => void;
  /** Nobody has signed in so far; called once. */
  readonly onSignedIn: () => void;
}

export interface SshLimits {
  /** From the first byte to a key that is taken. */
  readonly signInMs: number;
  readonly attempts: number;
  /** Sessions and forwarded connections of one client's connection. */
  readonly channels: number;
}

/** What a client may have sent that nothing has taken yet, of one channel: some windows, as ssh2 does not enforce them. */
const MOST_UNREAD_BYTES = 8 * 1024 * 1024;

/** What ssh2 has of a connection beside its interface. */
interface Internals {
  readonly _protocol: object;
}

export function serveConnection(client: Connection, socket: Socket, deps: ConnectionDeps): void {
  const { directory, node, limits } = deps;
  const over = new AbortController();
  const signal = AbortSignal.any([deps.signal, over.signal]);
  const channels = new Set<Channel>();
  const { remoteAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = socket;
  const room = createOutputRoom(socket);
  const late = setTimeout(() => socket.destroy(), limits.signInMs);

  const onChannel = (channel: Channel) => {
    channels.add(channel);
    channel.on("close", () => channels.delete(channel));
  };
  let places = limits.channels;
  /** For a channel, from when it is asked for to its end; nothing when there are as many as may be. */
  function takePlace(): (() => void) | undefined {
    if (places === 0) return undefined;
    places--;
    let isHeld = true;
    return () => {
      if (isHeld) places++;
      isHeld = false;
    };
  }
  socket.on("data", () => {
    for (const channel of channels) if (channel.readableLength > MOST_UNREAD_BYTES) socket.destroy();
  });
  socket.on("close", () => {
    clearTimeout(late);
    over.abort(new Error("the connection has ended"));
  });
  deps.signal.addEventListener("abort", () => client.end(), { signal: over.signal });
  client.on("error", () => socket.destroy()); // a client that does not speak SSH, or no longer

  const signIn = { directory, port: localPort, clientAddress: remoteAddress, attempts: limits.attempts, signal };
  void awaitSignIn(client, signIn).then(({ login, user }) => {
    clearTimeout(late);
    deps.onSignedIn();
    serve(login, user);
  });

  function serve(login: string, user: SshUser): void {
    const note = (what: SshNote["what"], data: SshNote["data"]) =>
      directory.note({ what, login, clientAddress: remoteAddress, user, data });
    const guest = async () => {
      if (user.refusal !== null) throw new AppError("validation_failed", user.refusal);
      return directory.guest(user, { signal });
    };
    socket.on("close", () => note("ended", { bytes_in: socket.bytesRead, bytes_out: socket.bytesWritten }));
    const connection = `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
    client.on("session", (accept, reject) => {
      const leave = takePlace();
      if (!leave) return reject();
      const session = accept();
      session.on("close", leave);
      serveSession(session, {
        ...{ node, guest, accountId: user.accountId, room, connection, onChannel },
        ...{ parting: deps.parting, track: deps.track },
        onBegin: (kind) => note("session", { kind }),
        takeModes: () => takeModes((client as unknown as Internals)._protocol),
      });
    });
    const forwards = createForwards(client, { node, guest, room, onChannel, log: deps.log, signal });
    const dial = (to: GuestAddress, accept: () => Channel, reject: () => void) => {
      const leave = takePlace();
      if (!leave) return reject();
      const take = () => accept().on("close", leave);
      const refuse = () => {
        leave();
        reject();
      };
      forwards.dial(to, take, refuse);
    };
    client.on("tcpip", (accept, reject, { destIP, destPort }) =>
      dial({ host: destIP, port: destPort }, accept, reject),
    );
    client.on("openssh.streamlocal", (accept, reject, { socketPath }) => dial({ path: socketPath }, accept, reject));
    client.on("request", (accept, reject, asked, asInfo) => {
      const name: string = asked; // the types know two of the four
      const info: Partial<TcpipBindInfo & SocketBindInfo> = asInfo;
      const at =
        info.socketPath === undefined
          ? { host: info.bindAddr ?? "", port: info.bindPort ?? 0 }
          : { path: info.socketPath };
      const reply = { accept: (port?: number) => accept?.(port), reject: () => reject?.() };
      switch (name) {
        case "tcpip-forward":
        case "streamlocal-forward@openssh.com":
          return forwards.listen(at, reply);
        case "cancel-tcpip-forward":
        case "cancel-streamlocal-forward@openssh.com":
          return forwards.cancel(at) ? reply.accept() : reply.reject();
        default:
          return reply.reject();
      }
    });
  }
}
