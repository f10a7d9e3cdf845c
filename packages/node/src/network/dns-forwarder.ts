/**
 * Passes DNS queries of guests on to the host's name servers: questions for records only, and of guests that have rules
 * those that may be asked. Each UDP query uses a socket of its own, so that answers cannot be guessed or mixed up.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, isIPv6, type Socket } from "node:net";
import { type Logger, messageOf } from "@mags/core";
import { isOrdinaryQuery, refusal, serverFailure } from "./dns-message.ts";
import { relayMessages } from "./dns-tcp-relay.ts";

/** What holds for the queries of one guest. */
export interface GuestDnsRules {
  /** Before a query goes on. @returns the answer to give in its place, or that there is none to give. */
  refuse(query: Buffer): { readonly answer: Buffer | undefined } | undefined;
  /** Before an answer goes back: the guest gets it when this resolves, and a failure when it rejects. */
  admit(query: Buffer, answer: Buffer): Promise<void>;
}

export interface DnsForwarderConfig {
  readonly address: string;
  /** Default 53. */
  readonly port?: number;
  /** Asked anew for each query: the host's resolver may change. */
  readonly servers: () => Promise<readonly string[]>;
  /** The rules for the guest with that address; asked anew for each query. Default: none for nobody. */
  readonly rulesOf?: (guest: string) => GuestDnsRules | undefined;
  /** Of the servers. Default 53. */
  readonly serverPort?: number;
  /** How long each server has to answer. Default 2.5 s. */
  readonly tryMs?: number;
}

export interface DnsForwarder extends AsyncDisposable {
  readonly port: number;
}

/** Queries under way, and as many connections. */
const MAX_PENDING = 1_000;
/** Of one guest: none takes all of them. */
const MAX_PENDING_PER_GUEST = 64;
/** When all are taken, a guest may still have so many. */
const RESERVED_PER_GUEST = 4;
const TCP_IDLE_MS = 10_000;
const TCP_LONGEST_MS = 60_000;
const LEAST_MESSAGE_BYTES = 12;

export async function startDnsForwarder(
  deps: { readonly log: Logger },
  config: DnsForwarderConfig,
): Promise<DnsForwarder> {
  const { log } = deps;
  const serverPort = config.serverPort ?? 53;
  const udp = createSocket("udp4");
  const pending = new Set<UdpSocket>();
  const connections = new Set<Socket>();
  const perGuest = new Map<string, number>();
  let closed = false;

  /** Counts one more query or connection of a guest. @returns the call that ends it; nothing when there are too many. */
  function admit(guest: string, others: number): (() => void) | undefined {
    const own = perGuest.get(guest) ?? 0;
    if (own >= (others >= MAX_PENDING ? RESERVED_PER_GUEST : MAX_PENDING_PER_GUEST)) return undefined;
    perGuest.set(guest, own + 1);
    return () => {
      const left = (perGuest.get(guest) ?? 1) - 1;
      if (left > 0) perGuest.set(guest, left);
      else perGuest.delete(guest);
    };
  }

  /** Asks one server. Resolves with its answer, or nothing when it cannot be reached or does not answer in time. */
  function ask(server: string, query: Buffer): Promise<Buffer | undefined> {
    const socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
    pending.add(socket);
    return new Promise<Buffer | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), config.tryMs ?? 2_500);
      socket.once("close", () => {
        clearTimeout(timer);
        resolve(undefined);
      });
      socket.on("error", () => resolve(undefined));
      // The kernel drops what other addresses send to a connected socket; the id must be the query's.
      socket.on("message", (answer) => {
        if (answer.length >= LEAST_MESSAGE_BYTES && answer.readUInt16BE(0) === query.readUInt16BE(0)) resolve(answer);
      });
      socket.once("connect", () => socket.send(query));
      socket.connect(serverPort, server);
    }).finally(() => {
      if (pending.delete(socket)) socket.close();
    });
  }

  /** As `GuestDnsRules.refuse`, with what holds for all. */
  function refuse(query: Buffer, rules: GuestDnsRules | undefined): ReturnType<GuestDnsRules["refuse"]> {
    return isOrdinaryQuery(query) ? rules?.refuse(query) : { answer: refusal(query) };
  }

  async function answer(query: Buffer, rules: GuestDnsRules | undefined): Promise<Buffer | undefined> {
    const refused = refuse(query, rules);
    if (refused) return refused.answer;
    for (const server of await config.servers()) {
      if (closed) return undefined;
      const found = await ask(server, query);
      if (found) return admitted(query, found, rules);
    }
    return serverFailure(query);
  }

  async function admitted(query: Buffer, found: Buffer, rules: GuestDnsRules | undefined): Promise<Buffer | undefined> {
    try {
      await rules?.admit(query, found);
      return found;
    } catch (error) {
      log.debug("dns.answer_not_admitted", { error: messageOf(error) });
      return serverFailure(query);
    }
  }

  udp.on("error", (error) => log.error("dns.failed", { error: messageOf(error) }));
  udp.on("message", (query, peer) => {
    // Nothing can be sent to port 0, which a guest may well name as its own.
    if (query.length < LEAST_MESSAGE_BYTES || peer.port === 0) return;
    const done = admit(peer.address, pending.size);
    if (!done) return;
    void answer(query, config.rulesOf?.(peer.address))
      .then((reply) => {
        if (reply && !closed) udp.send(reply, peer.port, peer.address, () => {}); // a guest that is gone needs no answer
      })
      .catch((error: unknown) => log.error("dns.failed", { error: messageOf(error) }))
      .finally(done);
  });

  const tcp = createServer({ allowHalfOpen: true }, (client) => {
    client.on("error", () => {});
    const guest = client.remoteAddress ?? "";
    const done = admit(guest, connections.size / 2);
    if (!done) return client.destroy();
    client.once("close", done);
    void config
      .servers()
      .then(([server]) => {
        if (!server || closed || client.destroyed) client.destroy();
        else relay(client, connect(serverPort, server), config.rulesOf?.(guest));
      })
      .catch((error: unknown) => {
        log.error("dns.failed", { error: messageOf(error) });
        client.destroy();
      });
  });
  tcp.on("error", (error) => log.error("dns.failed", { error: messageOf(error) }));

  function relay(client: Socket, upstream: Socket, rules: GuestDnsRules | undefined): void {
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      connections.add(from);
      from.setTimeout(TCP_IDLE_MS, () => from.destroy());
      from.on("error", () => {});
      from.on("close", () => {
        connections.delete(from);
        to.destroy();
      });
    }
    const longest = setTimeout(() => client.destroy(), TCP_LONGEST_MS);
    client.once("close", () => clearTimeout(longest));
    relayMessages(client, upstream, {
      refuse: (query) => refuse(query, rules),
      admit: (query, found) => admitted(query, found, rules),
    });
  }

  udp.bind(config.port ?? 53, config.address);
  await once(udp, "listening");
  const { port } = udp.address();
  try {
    tcp.listen(port, config.address);
    await once(tcp, "listening");
  } catch (error) {
    udp.close();
    throw error;
  }

  return {
    port,
    async [Symbol.asyncDispose]() {
      closed = true;
      udp.close();
      tcp.close();
      for (const socket of pending) {
        pending.delete(socket);
        socket.close();
      }
      for (const socket of connections) socket.destroy();
    },
  };
}
