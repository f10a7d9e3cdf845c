/** Connections that a client has forwarded: into the guest, and out of it. */
import { randomBytes } from "node:crypto";
import { AppError, isAppError, type Logger, messageOf, untilAborted } from "@mags/core";
import type { GuestAddress, GuestId, GuestListener, GuestSockets } from "@mags/domain";
import type { Channel, Connection } from "ssh2";
import { joinSocket } from "./forwarded-socket.ts";
import { keepListening } from "./kept-listener.ts";
import type { OutputRoom } from "./output-room.ts";
import type { Mended } from "./ssh2-inside.ts";

export type ForwardKind = "local" | "remote" | "agent";

export interface ForwardDeps {
  readonly node: GuestSockets;
  /** @throws AppError when there is none. */
  readonly guest: () => Promise<GuestId>;
  readonly mended: Pick<Mended, "openAgent">;
  readonly room: OutputRoom;
  readonly log: Logger;
  /** For a connection, until it is called; nothing when there are as many as may be. */
  readonly takePlace: () => (() => void) | undefined;
  /** For what listens, until it is called; nothing when the account has as much as may be. */
  readonly takeListener: () => (() => void) | undefined;
  /** @returns what resolves when the client has closed the channel, or has left. */
  readonly onChannel: (channel: Channel) => Promise<void>;
  /** Of each connection. */
  readonly onForward: (kind: ForwardKind) => void;
  /** The guest does not let something listen again: why, for the user. */
  readonly onLost: (why: string) => void;
  /** Aborted when the connection is over. */
  readonly signal: AbortSignal;
}

export interface Forwards {
  /** Dials in the guest. */
  dial(to: GuestAddress, reply: { accept(): Channel; reject(why: string): void }): void;
  /** Listens in the guest, also again when that has slept or the server was away. One that is not up in 30 s is refused: answers to what is asked meanwhile wait for this one. */
  listen(at: GuestAddress, reply: { accept(port?: number): void; reject(): void }): void;
  /** Also of what is not up yet, which is refused then. @returns false when there is no such. */
  cancel(at: GuestAddress): boolean;
  /**
   * A socket in the guest that leads to the client's agent, for root only.
   * @throws AppError when it cannot be had.
   */
  listenForAgent(guest: GuestId): Promise<{ readonly path: string; close(): void }>;
}

/** Opens a channel at the client. */
type Open = (arrival: Arriving, opened: (error: Error | undefined, channel: Channel) => void) => void;
type Arriving = NonNullable<Awaited<ReturnType<GuestListener["next"]>>>;

interface Listening {
  /** By which the client names it; null: by none, or none so far. */
  key: string | null;
  /** Null: it is about to listen. */
  listener: GuestListener | null;
  /** Gives it up. */
  stop(): void;
}

/** There is no place. */
export const FULL = "the connection, or its account, has as many sessions and forwards as it may";
const MOST_LISTENERS = 32;
const LISTEN_MS = 30_000;
/** Where the guest's agent has its own files, for root to write: the socket goes with the one who listens. */
const AGENT_DIRECTORY = "/run/mags";

const keyOf = (at: GuestAddress) => ("path" in at ? at.path : `${at.host}:${at.port}`);

export function createForwards(client: Connection, deps: ForwardDeps): Forwards {
  const { node, guest, signal } = deps;
  const listeners = new Set<Listening>();
  const named = (key: string) => [...listeners].find((one) => one.key === key);

  async function open(to: GuestAddress, accept: () => Channel): Promise<void> {
    const socket = await node.connect(await guest(), to, { signal });
    if (signal.aborted) return socket.close();
    deps.onForward("local");
    const channel = accept();
    await joinSocket(socket, channel, { room: deps.room, gone: deps.onChannel(channel) });
  }

  /** For each connection that comes in the client opens one of its own. */
  async function passOn(listener: GuestListener, kind: ForwardKind, openAtClient: Open): Promise<void> {
    for (let arrival = await listener.next(); arrival && !signal.aborted; arrival = await listener.next()) {
      const { connection } = arrival;
      const refuse = () =>
        listener.accept(connection).then(
          (socket) => socket.close(),
          () => {}, // it has gone by itself
        );
      const leave = deps.takePlace();
      if (!leave) {
        await refuse();
        continue;
      }
      deps.onForward(kind);
      openAtClient(arrival, (error, channel) => {
        if (error) return void refuse().then(leave);
        const gone = deps.onChannel(channel);
        listener
          .accept(connection)
          .then(
            (socket) => joinSocket(socket, channel, { room: deps.room, gone }),
            () => channel.close(),
          )
          .finally(leave);
      });
    }
  }

  function openFor(at: GuestAddress, bound: number | null): Open {
    if ("path" in at) return (_, opened) => client.openssh_forwardOutStreamLocal(at.path, opened);
    return ({ peer }, opened) =>
      client.forwardOut(at.host, bound ?? at.port, peer?.address ?? "", peer?.port ?? 0, opened);
  }

  /** What came in by it goes on when `given` aborts later. */
  async function listenAt(
    at: GuestAddress,
    { given, inGuest = guest(), wakes }: { given: AbortSignal; inGuest?: Promise<GuestId>; wakes: boolean },
  ): Promise<GuestListener> {
    const starting = new AbortController();
    const stop = () => starting.abort(given.reason);
    given.addEventListener("abort", stop);
    try {
      const found = await untilAborted(inGuest, given);
      return await node.listen(found, at, { signal: AbortSignal.any([signal, starting.signal]), wakes });
    } finally {
      given.removeEventListener("abort", stop);
    }
  }

  async function serve(at: GuestAddress, reply: { accept(port?: number): void }, one: Listening, given: AbortSignal) {
    const late = setTimeout(one.stop, LISTEN_MS);
    const first = await listenAt(at, { given, wakes: true }).finally(() => clearTimeout(late));
    one.listener = first;
    given.throwIfAborted();
    const there = "path" in at ? at : { host: at.host, port: first.port ?? at.port };
    const key = keyOf(there);
    if ((named(key) ?? one) !== one) throw new AppError("guest_failed", "the guest has given one port twice");
    one.key = key;
    reply.accept(first.port ?? undefined);
    await keepListening(first, {
      again: () => listenAt(there, { given, wakes: false }),
      passOn: (listener) => passOn(listener, "remote", openFor(at, first.port)),
      onChange: (listener) => {
        one.listener = listener;
      },
      given,
    }).catch((error: unknown) => {
      if (!given.aborted) deps.onLost(`what it forwards from the VM is lost: ${messageOf(error)}`);
    });
  }

  signal.addEventListener("abort", () => {
    for (const { listener } of listeners) listener?.close();
  });

  return {
    dial(to, reply) {
      const leave = deps.takePlace();
      if (!leave) return reply.reject(FULL);
      open(to, reply.accept)
        .catch((error: unknown) => {
          if (!isAppError(error) && !signal.aborted) deps.log.warn("ssh.dial_failed", { error: messageOf(error) });
          reply.reject(isAppError(error) ? error.message : "it could not be reached");
        })
        .finally(leave);
    },
    listen(at, reply) {
      const key = "port" in at && at.port === 0 ? null : keyOf(at);
      const isRoom = listeners.size < MOST_LISTENERS && (key === null || !named(key));
      const leave = isRoom ? deps.takeListener() : undefined;
      if (!leave) return reply.reject();
      const given = new AbortController();
      const one: Listening = {
        ...{ key, listener: null },
        stop() {
          given.abort(new Error("it was cancelled"));
          one.listener?.close(); // what came in by it goes on
        },
      };
      listeners.add(one);
      serve(at, reply, one, AbortSignal.any([signal, given.signal]))
        .catch(reply.reject)
        .finally(() => {
          listeners.delete(one);
          one.listener?.close();
          leave();
        });
    },
    cancel(at) {
      const one = named(keyOf(at));
      if (!one) return false;
      one.key = null;
      one.stop();
      return true;
    },
    async listenForAgent(inGuest) {
      const leave = deps.takeListener();
      if (!leave) throw new AppError("too_many_requests", FULL);
      const path = `${AGENT_DIRECTORY}/ssh-agent-${randomBytes(8).toString("hex")}`;
      const given = new AbortController();
      const listener = await node.listen(inGuest, { path }, { signal }).catch((error: unknown) => {
        leave();
        throw error;
      });
      const close = () => {
        listeners.delete(one);
        given.abort(new Error("its session is over"));
        one.listener?.close();
      };
      const one: Listening = { key: null, listener, stop: close };
      listeners.add(one);
      if (signal.aborted) close();
      keepListening(listener, {
        again: () => listenAt({ path }, { given: given.signal, inGuest: Promise.resolve(inGuest), wakes: false }),
        passOn: (now) => passOn(now, "agent", (_, opened) => deps.mended.openAgent(opened)),
        onChange: (now) => {
          one.listener = now;
        },
        given: AbortSignal.any([signal, given.signal]),
      })
        .catch(close)
        .finally(leave);
      return { path, close };
    },
  };
}
