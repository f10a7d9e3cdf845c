/** What listens in a guest: one socket, or one for each address of a place. Connections of all come in by one door. */
import { AppError } from "@mags/core";
import type { Arrival, GuestAddress, GuestListener } from "@mags/domain";
import { type AgentConnection, createArrivals, type StreamRecord } from "../agent/index.ts";
import { failureOf } from "./file-errors.ts";
import { listeningAddresses, type NumericAddress } from "./guest-addresses.ts";
import { socketOver } from "./guest-socket.ts";
import { openedPaced, type PacedStream } from "./paced-stream.ts";

interface Bound {
  readonly paced: PacedStream;
  /** Each that came in, in the order of the records. */
  readonly told: Arrival[];
  /** @returns false: it does not wait here. */
  readonly take: (connection: number) => boolean;
  readonly port: number | null;
}

/** @param options.touch  Called when a connection comes in, and with every piece that passes. */
export async function listenOn(
  agent: AgentConnection,
  at: GuestAddress,
  options: { readonly signal: AbortSignal; readonly touch: () => void },
): Promise<GuestListener> {
  const { signal, touch } = options;
  const bound = await bindAll(agent, await listeningAddresses(agent, at, { signal }), signal);
  const arrived: Arrival[] = [];
  let over: { readonly error: unknown } | undefined;
  let wake = () => {};

  /** The guest lets few wait at a time. */
  async function follow({ paced, told }: Bound): Promise<void> {
    while (await paced.more()) {
      paced.taken(paced.take());
      touch();
      const arrival = told.shift();
      if (arrival) arrived.push(arrival);
      wake();
    }
  }
  function close(): void {
    for (const { paced } of bound) paced.close();
  }
  const end = (error: unknown) => {
    over ??= { error };
    close();
    wake();
  };
  for (const one of bound) follow(one).then(() => end(undefined), end);

  return {
    port: bound[0]?.port ?? null,
    async next() {
      while (arrived.length === 0 && !over)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const arrival = arrived.shift();
      if (!arrival && over?.error) throw over.error;
      return arrival ?? null;
    },
    async accept(connection) {
      if (!bound.some(({ take }) => take(connection)))
        throw new AppError("guest_failed", "no such connection waits in the guest");
      return socketOver(await openedPaced(agent, { kind: "accept", connection }, { signal }), options);
    },
    close,
  };
}

/** As sshd: one is enough. @throws what the first says. */
async function bindAll(
  agent: AgentConnection,
  places: readonly NumericAddress[],
  signal: AbortSignal,
): Promise<readonly Bound[]> {
  const bound: Bound[] = [];
  let first: unknown = new AppError("internal", "a name without an address");
  for (const place of places)
    try {
      const port = bound[0]?.port;
      bound.push(await bind(agent, "address" in place && port ? { ...place, port } : place, signal));
    } catch (error) {
      if (places.indexOf(place) === 0) first = error;
      if (failureOf(error)) continue;
      for (const { paced } of bound) paced.close();
      throw error;
    }
  if (bound.length === 0) throw first;
  return bound;
}

async function bind(agent: AgentConnection, place: NumericAddress, signal: AbortSignal): Promise<Bound> {
  const arrivals = createArrivals();
  const told: Arrival[] = [];
  const check = ({ bytes }: StreamRecord) => void told.push(plain(arrivals.told(bytes)));
  const paced = await openedPaced(agent, { kind: "listen", ...place }, { signal, check });
  const { port } = await paced.stream.opened;
  return { paced, told, take: arrivals.taken, port };
}

/** An address of IPv4 is told as such, whatever it came in by. */
function plain({ connection, peer }: Arrival): Arrival {
  return { connection, peer: peer && { ...peer, address: peer.address.replace(/^::ffff:(?=[0-9.]+$)/i, "") } };
}
