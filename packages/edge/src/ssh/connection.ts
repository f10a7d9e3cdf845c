/** One connection of a client, from its first byte to its end. */
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import type { Logger } from "@mags/core";
import type { AccountId, SshDirectory, SshUser } from "@mags/domain";
import type { Channel, Connection } from "ssh2";
import type { EdgeNode } from "../upstream.ts";
import { disconnect } from "./disconnect.ts";
import { createOutputRoom } from "./output-room.ts";
import type { Places } from "./places.ts";
import { awaitSignIn } from "./sign-in.ts";
import { tellSignatureAlgorithms } from "./signature-algorithms.ts";
import { mend, packetBytesOf } from "./ssh2-inside.ts";
import { serveUser } from "./user.ts";

export interface ConnectionDeps {
  readonly directory: SshDirectory;
  readonly node: EdgeNode;
  readonly limits: SshLimits;
  readonly log: Logger;
  /** Aborted when the gateway ends, so long before `signal` that what is written then still arrives. */
  readonly parting: AbortSignal;
  /** Aborted when the gateway ends. */
  readonly signal: AbortSignal;
  /** Of each session: settles when its command has ended, or was told that its client left. Never rejects. */
  readonly track: (session: Promise<void>) => void;
  /** Nobody has signed in so far; called once. */
  readonly onSignedIn: () => void;
  /** Of accounts, over all connections. */
  readonly ofAccounts: {
    readonly connections: Places<AccountId>;
    /** Sessions, forwarded connections, and what listens in guests. */
    readonly channels: Places<AccountId>;
  };
}

export interface SshLimits {
  /** From the first byte to a key that is taken. */
  readonly signInMs: number;
  readonly attempts: number;
  /** Sessions and forwarded connections of one client's connection. */
  readonly channels: number;
}

/** A client whose last session is over leaves by itself. */
const LEAVING_MS = 500;
const ENDING = "the server is ending";
/** Of what a client takes in one packet. Less makes work, and ssh2 divides by it. */
const LEAST_PACKET_BYTES = 256;

export function serveConnection(client: Connection, socket: Socket, deps: ConnectionDeps): void {
  const { directory, limits } = deps;
  const over = new AbortController();
  const connection = randomUUID();
  const signal = AbortSignal.any([deps.signal, over.signal]);
  const mended = mend(client);
  tellSignatureAlgorithms(client);
  const channels = new Map<Channel, () => void>();
  const { remoteAddress: clientAddress = "", localPort = 0 } = socket;
  const room = createOutputRoom(client, socket, mended);
  const late = setTimeout(() => socket.destroy(), limits.signInMs);

  let ended: string | undefined;
  function partIfIdle(): void {
    if (ended !== undefined && channels.size === 0) disconnect(client, ended);
  }
  /** What still passes gets to its end first. */
  function end(why: string): void {
    ended = why;
    partIfIdle();
  }

  /** Resolves when the client has closed the channel, or has left. */
  function onChannel(channel: Channel): Promise<void> {
    const gone = Promise.withResolvers<void>();
    channels.set(channel, gone.resolve);
    mended.onClosed(channel, gone.resolve);
    channel.on("close", () => {
      channels.delete(channel);
      gone.resolve();
      if (ended !== undefined) setTimeout(partIfIdle, LEAVING_MS).unref();
    });
    if (packetBytesOf(channel) < LEAST_PACKET_BYTES) socket.destroy();
    if (socket.destroyed) gone.resolve();
    return gone.promise;
  }
  socket.on("close", () => {
    clearTimeout(late);
    over.abort(new Error("the connection has ended"));
    for (const leave of channels.values()) leave();
  });
  // Who has a session hears of it there, and leaves; else this is the only way.
  deps.parting.addEventListener("abort", () => end(ENDING), { signal: over.signal });
  deps.signal.addEventListener("abort", () => disconnect(client, ENDING), { signal: over.signal });
  client.on("error", () => socket.destroy()); // a client that does not speak SSH, or no longer
  socket.on("end", () => socket.destroy()); // it may not read what waits, either

  function isRoomFor({ accountId }: SshUser): boolean {
    const leave = deps.ofAccounts.connections.take(accountId);
    if (leave) socket.once("close", leave);
    return leave !== undefined;
  }
  const signIn = {
    ...{ directory, port: localPort, clientAddress, attempts: limits.attempts, isRoomFor, signal },
    end: (why: string) => disconnect(client, why),
    connection,
  };
  awaitSignIn(client, signIn)
    .then((signedIn) => {
      clearTimeout(late);
      deps.onSignedIn();
      serveUser(client, { ...deps, ...signedIn, ...{ mended, room, socket, signal, onChannel, end, connection } });
    })
    .catch(() => socket.destroy());
}
