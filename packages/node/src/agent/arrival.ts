/** What the guest says of a `listen` stream: where it listens, and which connections came in. */
import { isIP } from "node:net";
import type { Arrival } from "@mags/domain";
import { readFields, required } from "./fields.ts";
import type { SocketAddress } from "./open-options.ts";
import { ProtocolViolation } from "./violation.ts";
import { TAG } from "./wire.ts";

const MOST_WAITING = 16;
/** Longest text of an IPv6 address. */
const MAX_ADDRESS_BYTES = 45;

export interface Arrivals {
  /** One that came in, and now waits to be accepted. @throws ProtocolViolation */
  told(record: Buffer): Arrival;
  /** It is accepted or given up. @returns false when it does not wait. */
  taken(connection: number): boolean;
}

/** Of one stream: holds the guest to what may wait. */
export function createArrivals(): Arrivals {
  const waiting = new Set<number>();
  return {
    told(record) {
      const arrival = readArrival(record);
      if (waiting.has(arrival.connection)) throw new ProtocolViolation("a connection came in twice");
      if (waiting.size === MOST_WAITING) throw new ProtocolViolation(`more than ${MOST_WAITING} connections that wait`);
      waiting.add(arrival.connection);
      return arrival;
    },
    taken: (connection) => waiting.delete(connection),
  };
}

/** @throws ProtocolViolation */
export function readArrival(record: Buffer): Arrival {
  const fields = readFields(record);
  const connection = required(fields.u32(TAG.connection), "CONNECTION");
  const address = fields.bytes(TAG.address);
  const port = fields.u16(TAG.port);
  if (address === undefined && port === undefined) return { connection, peer: null };
  const text = address?.toString("latin1", 0, MAX_ADDRESS_BYTES + 1) ?? "";
  if (!isIP(text) || text.includes("%") || port === undefined)
    throw new ProtocolViolation("a connection that came in from what is no address and port");
  return { connection, peer: { address: text, port } };
}

/** @throws ProtocolViolation unless it listens where it was asked to. */
export function checkPort(asked: SocketAddress, port: number | null): void {
  const isSo =
    "path" in asked ? port === null : port !== null && port !== 0 && (asked.port === 0 || asked.port === port);
  if (!isSo) throw new ProtocolViolation("it listens on another port than was asked for");
}
