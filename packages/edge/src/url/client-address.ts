import type { IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";

interface From {
  readonly socket: Pick<Socket, "remoteAddress">;
  readonly headers: IncomingHttpHeaders;
}

/** Whoever has the other end of the connection. IPv4 as such, also where the socket has both. */
export const peerAddress = ({ socket }: Pick<From, "socket">): string =>
  (socket.remoteAddress ?? "").replace(/^::ffff:/, "");

/**
 * Who has asked, as far as proxies that are trusted tell: the nearest that is none of them. What that says itself of who
 * was before it is worth nothing.
 */
export function clientAddress(from: From, isTrusted: (address: string) => boolean): string {
  const told = from.headers["x-forwarded-for"];
  const before = `${told ?? ""}`.split(",").map((address) => address.trim());
  const chain = [...before.filter((address) => address !== ""), peerAddress(from)];
  return chain.findLast((address) => !isTrusted(address)) ?? chain[0] ?? "";
}
