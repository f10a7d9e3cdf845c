/** Connections that a client has forwarded: into the guest, and out of it. */
import type { Duplex } from "node:stream";
import { isAppError, type Logger, messageOf } from "@mags/core";
import type { GuestAddress, GuestId, GuestListener, GuestSocket, GuestSockets } from "@mags/domain";
import type { Channel, Connection } from "ssh2";
import type { OutputRoom } from "./output-room.ts";

export interface ForwardDeps {
  readonly node: GuestSockets;
  /** @throws AppError when there is none. */
  readonly guest: () => Promise<GuestId>;
  readonly room: OutputRoom;
  readonly log: Logger;
  readonly onChannel: (channel: Channel) => void;
  /** Aborted when the connection is over. */
  readonly signal: AbortSignal;
}

const MOST_LISTENERS = 32;

export interface Forwards {
  /** Dials in the guest. @param accept  The client's channel, or nothing when it has gone. */
  dial(to: GuestAddress, accept: () => Channel, reject: () => void): void;
  /** Listens in the guest. */
  listen(at: GuestAddress, reply: { accept(port?: number): void; reject(): void }): void;
  /** @returns false when there is no such. */
  cancel(at: GuestAddress): boolean;
}

const keyOf = (at: GuestAddress) => ("path" in at ? at.path : `${at.host}:${at.port}`);

export function createForwards(client: Connection, deps: ForwardDeps): Forwards {
  const { node, guest, signal } = deps;
  const listeners = new Map<string, GuestListener | null>();

  async function open(to: GuestAddress, accept: () => Channel): Promise<void> {
    const socket = await node.connect(await guest(), to, { signal });
    join(socket, accept());
  }

  function join(socket: GuestSocket, channel: Channel): void {
    deps.onChannel(channel);
    const close = () => {
      socket.close();
      (channel as Duplex).destroy();
    };
    channel.on("close", () => socket.close());
    Promise.all([toClient(socket, channel, deps.room), toGuest(channel, socket)]).then(close, close);
  }

  /** For each connection that comes in the client opens one of its own. */
  async function passOn(at: GuestAddress, listener: GuestListener): Promise<void> {
    for (let arrival = await listener.next(); arrival; arrival = await listener.next()) {
      const { connection, peer } = arrival;
      const accept = (error: Error | undefined, channel: Channel) => {
        if (error)
          return void listener.accept(connection).then(
            (socket) => socket.close(),
            () => {},
          );
        listener.accept(connection).then(
          (socket) => join(socket, channel),
          () => channel.close(),
        );
      };
      if ("path" in at) client.openssh_forwardOutStreamLocal(at.path, accept);
      else client.forwardOut(at.host, listener.port ?? at.port, peer?.address ?? "", peer?.port ?? 0, accept);
    }
  }

  signal.addEventListener("abort", () => {
    for (const listener of listeners.values()) listener?.close();
  });

  return {
    dial(to, accept, reject) {
      open(to, accept).catch((error: unknown) => {
        if (!isAppError(error) && !signal.aborted) deps.log.warn("ssh.dial_failed", { error: messageOf(error) });
        reject();
      });
    },
    listen(at, reply) {
      if (listeners.size >= MOST_LISTENERS || listeners.has(keyOf(at))) return reply.reject();
      listeners.set(keyOf(at), null);
      const start = async () => {
        const listener = await node.listen(await guest(), at, { signal });
        const bound = "path" in at ? at : { host: at.host, port: listener.port ?? at.port };
        listeners.delete(keyOf(at));
        listeners.set(keyOf(bound), listener);
        reply.accept(listener.port ?? undefined);
        await passOn(at, listener).catch(() => {});
        listeners.delete(keyOf(bound));
        listener.close();
      };
      start().catch(() => {
        listeners.delete(keyOf(at));
        reply.reject();
      });
    },
    cancel(at) {
      const listener = listeners.get(keyOf(at));
      listener?.close();
      return listeners.delete(keyOf(at));
    },
  };
}

async function toClient(socket: GuestSocket, channel: Channel, room: OutputRoom): Promise<void> {
  for (let bytes = await socket.read(); bytes; bytes = await socket.read()) {
    await room.wait();
    if (!channel.write(bytes)) await drained(channel);
  }
  // Half of it only: the client may go on sending.
  (channel as Channel & { eof(): void }).eof();
}

async function toGuest(channel: Channel, socket: GuestSocket): Promise<void> {
  // Its other direction goes on.
  for await (const bytes of channel.iterator({ destroyOnReturn: false })) await socket.write(bytes as Buffer);
  await socket.end();
}

function drained(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      channel.off("close", done);
      channel.off("drain", done);
      resolve();
    };
    channel.once("close", done);
    channel.once("drain", done);
  });
}
