/** What somebody who has signed in asks for on his connection: sessions, and connections to forward. */
import type { Socket } from "node:net";
import { AppError } from "@mags/core";
import type { GuestAddress, GuestId, SshNote } from "@mags/domain";
import type { Channel, Connection, SocketBindInfo, TcpipBindInfo } from "ssh2";
import type { ConnectionDeps } from "./connection.ts";
import { createForwards, FULL } from "./forwards.ts";
import type { OutputRoom } from "./output-room.ts";
import { serveSession } from "./session.ts";
import type { SignedIn } from "./sign-in.ts";
import { type Mended, protocolOf } from "./ssh2-inside.ts";
import { createTally } from "./tally.ts";
import { takeModes } from "./terminal-modes.ts";
import { untilOver } from "./until-over.ts";

export interface UserDeps extends ConnectionDeps, SignedIn {
  readonly mended: Mended;
  readonly room: OutputRoom;
  readonly socket: Socket;
  /** Aborted when the connection is over. */
  readonly signal: AbortSignal;
  /** @returns what resolves when the client has closed the channel, or has left. */
  readonly onChannel: (channel: Channel) => Promise<void>;
  /** What it is called in the audit log. */
  readonly connection: string;
  /** Ends the connection, with a text for the user, when no channel is open any more. */
  readonly end: (why: string) => void;
}

export function serveUser(client: Connection, deps: UserDeps): void {
  const { directory, node, login, user, socket, room, onChannel, signal } = deps;
  const { remoteAddress: clientAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = socket;
  const note = (what: SshNote["what"], data: SshNote["data"]) =>
    directory.note({ what, login, clientAddress, user, data: { connection: deps.connection, ...data } });
  let known: GuestId | undefined;
  let over: string | undefined;
  const guest = async () => {
    if (user.refusal !== null) throw new AppError("validation_failed", user.refusal);
    if (over !== undefined) throw new AppError("job_not_running", over);
    known = await directory.guest(user, { signal });
    return known;
  };
  if (user.refusal === null)
    untilOver({ directory, user, known: () => known, signal }).then(
      (why) => {
        over = why;
        deps.end(why);
      },
      () => {}, // the connection is over before
    );
  const sessions = createTally((kind, count) => note("session", { kind, count }));
  const connections = createTally((kind, count) => note("forward", { kind, count }));
  socket.on("close", () =>
    note("ended", {
      ...{ bytes_in: socket.bytesRead, bytes_out: socket.bytesWritten },
      ...{ sessions: sessions.total, forwards: connections.total },
    }),
  );

  const held = new Set<() => void>();
  /** For a channel, from when it is asked for to its end; nothing when there are as many as may be. */
  function takePlace(): (() => void) | undefined {
    const isRoom = held.size < deps.limits.channels && !socket.destroyed;
    const giveBack = isRoom ? deps.ofAccounts.channels.take(user.accountId) : undefined;
    if (!giveBack) return undefined;
    const leave = () => {
      if (held.delete(leave)) giveBack();
    };
    held.add(leave);
    return leave;
  }
  socket.on("close", () => {
    for (const leave of held) leave(); // what is left is being hung up
  });

  const onForward = (kind: string) => connections.add(kind);
  const takeListener = () => deps.ofAccounts.channels.take(user.accountId);
  const forwarding = { node, guest, room, onChannel, onForward, onLost: deps.end, takePlace, takeListener, signal };
  const forwards = createForwards(client, { ...forwarding, mended: deps.mended, log: deps.log });
  const connection = `${clientAddress} ${remotePort} ${localAddress} ${localPort}`;
  client.on("session", (accept, reject) => {
    const leave = takePlace();
    if (!leave) return deps.mended.refuse(reject, FULL);
    serveSession(accept(), {
      ...{ node, guest, accountId: user.accountId, room, connection, onChannel },
      onUnwanted: deps.mended.onUnwanted,
      ...{ parting: deps.parting, track: deps.track, onOver: leave },
      listenForAgent: forwards.listenForAgent,
      onBegin: (kind) => sessions.add(kind),
      takeModes: () => takeModes(protocolOf(client)),
    });
  });
  const dial = (to: GuestAddress, accept: () => Channel, reject: () => void) =>
    forwards.dial(to, { accept, reject: (why) => deps.mended.refuse(reject, why) });
  client.on("tcpip", (accept, reject, { destIP, destPort }) => dial({ host: destIP, port: destPort }, accept, reject));
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
