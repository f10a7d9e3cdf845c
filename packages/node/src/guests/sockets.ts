/** Connections to and from the insides of guests, over the agent. Bytes that pass are use of the guest. */
import { isIP } from "node:net";
import { AppError, isAppError, untilAborted } from "@mags/core";
import type { Arrival, GuestAddress, GuestId, GuestListener, GuestSocket, GuestSockets } from "@mags/domain";
import { readArrival } from "../agent/arrival.ts";
import type { AgentConnection, GuestFailure, KindOptions } from "../agent/index.ts";
import { foreignText } from "../foreign-text.ts";
import { streamFailure } from "./file-errors.ts";
import type { AwakeGuest, Guests } from "./guests.ts";
import { openPaced, type PacedStream } from "./paced-stream.ts";

type Signal = { readonly signal: AbortSignal };

const TOUCH_EVERY_MS = 1_000;
const LOOKUP_MS = 10_000;
const LOOPBACK = "127.0.0.1";
/** `getent` says so of a name that it does not know. */
const UNKNOWN_NAME = 2;

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there in the guest",
  ENOENT: "there is no such socket in the guest",
  EHOSTUNREACH: "the guest does not reach it",
  ENETUNREACH: "the guest does not reach it",
  ETIMEDOUT: "it does not answer the guest",
  EADDRINUSE: "something listens there already in the guest",
  EADDRNOTAVAIL: "the guest does not have that address",
};

export function createGuestSockets(guests: Guests): GuestSockets {
  /** Called with every piece that passes. */
  function toucher(id: GuestId): () => void {
    let touchedAtMs = Number.NEGATIVE_INFINITY;
    return () => {
      const now = performance.now();
      if (now - touchedAtMs < TOUCH_EVERY_MS) return;
      touchedAtMs = now;
      try {
        guests.get(id).touch();
      } catch {
        // It is ending.
      }
    };
  }

  /** Opens a stream in a guest that is awake; it goes on when this has resolved. */
  async function open<T>(
    id: GuestId,
    { what, signal }: Signal & { readonly what: string },
    begin: (guest: AwakeGuest, signals: Signal) => Promise<T>,
  ): Promise<T> {
    try {
      return await guests.get(id).use(
        "connection",
        (guest) => {
          const both = AbortSignal.any([signal, guest.gone]);
          return untilAborted(begin(guest, { signal: both }), both);
        },
        { signal },
      );
    } catch (error) {
      throw explain(error, what);
    }
  }

  async function opened(agent: AgentConnection, options: KindOptions, signals: Signal): Promise<PacedStream> {
    const paced = openPaced(agent, options, signals);
    try {
      await untilAborted(paced.stream.opened, signals.signal);
      return paced;
    } catch (error) {
      paced.close();
      throw error;
    }
  }

  return {
    connect: (id, to, options) =>
      open(id, { what: `connect to ${shown(to)}`, ...options }, async ({ agent }, signals) => {
        const at = await numeric(agent, to, signals);
        return socketOver(await opened(agent, { kind: "tcp", ...at }, signals), toucher(id));
      }),
    listen: (id, at, options) =>
      open(id, { what: `listen on ${shown(at)}`, ...options }, async ({ agent }, signals) => {
        const where = await numeric(agent, at, signals);
        const paced = await opened(agent, { kind: "listen", ...where }, signals);
        const { port } = await paced.stream.opened;
        const touch = toucher(id);
        const accept = async (connection: number) =>
          socketOver(await opened(agent, { kind: "accept", connection }, signals), touch);
        return listenerOver(paced, { port, accept, touch });
      }),
  };
}

function socketOver(paced: PacedStream, touch: () => void): GuestSocket {
  const { stream } = paced;
  let isRead = false;
  return {
    async read() {
      while (!isRead && (await paced.more())) {
        const record = paced.take();
        paced.taken(record);
        touch();
        // The mark of the end may come with the last bytes, or alone.
        isRead = record.fin;
        if (record.bytes.length > 0) return record.bytes;
      }
      return null;
    },
    async write(bytes) {
      touch();
      await stream.write(bytes);
    },
    async end() {
      stream.endInput().catch(() => {}); // what waits below fails with it
      await stream.inputTaken.catch(async () => {
        // Both directions are over: the other side has all. Agents of older templates do not confirm the end by itself.
        const { failure } = await stream.ended;
        if (failure) throw streamFailure(failure);
      });
    },
    close: paced.close,
  };
}

function listenerOver(
  paced: PacedStream,
  options: {
    readonly port: number | null;
    readonly accept: (connection: number) => Promise<GuestSocket>;
    readonly touch: () => void;
  },
): GuestListener {
  const { port, accept, touch } = options;
  return {
    port,
    async next(): Promise<Arrival | null> {
      if (!(await paced.more())) return null;
      const record = paced.take();
      paced.taken(record);
      touch();
      return readArrival(record.bytes);
    },
    accept,
    close: paced.close,
  };
}

/** A name is looked up in the guest, which may know it alone. */
async function numeric(agent: AgentConnection, address: GuestAddress, { signal }: Signal) {
  if ("path" in address) return address;
  const { host, port } = address;
  if (isIP(host)) return { address: host, port };
  if (host === "" || host === "*" || host === "localhost") return { address: LOOPBACK, port };
  if (host.includes("\0") || host.startsWith("-")) throw new AppError("validation_failed", "that is no name of a host");
  const result = await agent.run(
    { argv: ["getent", "ahosts", "--", host], timeoutMs: LOOKUP_MS, maxBytes: 4_096 },
    { signal },
  );
  const found = /^(\S+)\s/.exec(result.stdout.toString())?.[1] ?? "";
  if (result.exitCode === 0 && isIP(found)) return { address: found, port };
  const why = result.exitCode === UNKNOWN_NAME ? "the guest does not know that name" : "the guest cannot look it up";
  throw new AppError("connection_refused", why);
}

function shown(address: GuestAddress): string {
  const text = "path" in address ? address.path : `${address.host}:${address.port}`;
  return foreignText(text, 200);
}

function explain(cause: unknown, what: string): unknown {
  const failure = isAppError(cause, "guest_failed") ? (cause.details.failure as GuestFailure | undefined) : undefined;
  if (!failure && !isAppError(cause, "connection_refused")) return cause;
  const why = failure
    ? (REASONS[failure.code] ?? [failure.step, failure.code, failure.message].filter(Boolean).join(": "))
    : (cause as AppError).message;
  return new AppError("connection_refused", `cannot ${what}: ${why}`, { cause });
}
