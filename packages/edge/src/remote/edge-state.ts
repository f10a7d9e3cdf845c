/**
 * What the server knows of one connected edge. An edge may use a guest for a while after the directory has answered that
 * somebody may who has such a key: guests are not known by their ids alone.
 */
import { AppError } from "@mags/core";
import type { AccountId, GuestId, GuestListener } from "@mags/domain";

const GRANTED_MS = 60_000;
const MOST_GRANTS = 10_000;
/** Of a port for requests: a server in the guest may still be waited for. */
const PORT_GRANTED_MS = 600_000;
const MOST_PORTS = 20_000;
const MOST_GUESTS = 20_000;

export interface EdgeState {
  readonly address: string;
  readonly listeners: Map<string, GuestListener>;
  /** Which run of an edge it is, whatever connection it has; null: it has not said so. */
  name: string | null;
  /** By its call `ends`, of which there is one at a time. */
  hearsOfEnds: boolean;
  grant(guest: GuestId, accountId: AccountId): void;
  /** @throws AppError `unavailable` when the edge has not asked for that guest, or long ago. */
  check(guest: GuestId, accountId?: AccountId): void;
  /** A URL leads there: the edge may pass requests on to it, and do no more with that guest. */
  grantPort(guest: GuestId, port: number): void;
  /** @throws AppError `unavailable` unless one leads there */
  checkPort(guest: GuestId, port: number): void;
  /** Whether a URL has led there at any time, on this connection: what is under way may take hours. */
  wasGranted(guest: GuestId): boolean;
}

const notKnown = () => new AppError("unavailable", "the connection to the server was lost meanwhile: try again");

export function createEdgeState(address: string, clock: { readonly nowMs: () => number }): EdgeState {
  const grants = new Map<GuestId, { readonly accountId: AccountId; readonly untilMs: number }>();
  /** Until when. */
  const ports = new Map<string, number>();
  const guests = new Set<GuestId>();

  function check(guest: GuestId, accountId?: AccountId): void {
    const found = grants.get(guest);
    const isHis = found && (accountId === undefined || found.accountId === accountId);
    if (!isHis || found.untilMs < clock.nowMs()) throw notKnown();
  }

  return {
    check,
    address,
    listeners: new Map(),
    name: null,
    hearsOfEnds: false,
    grant(guest, accountId) {
      grants.delete(guest);
      grants.set(guest, { accountId, untilMs: clock.nowMs() + GRANTED_MS });
      const [oldest] = grants.keys();
      if (grants.size > MOST_GRANTS && oldest !== undefined) grants.delete(oldest);
    },
    grantPort(guest, port) {
      const name = `${guest} ${port}`;
      ports.delete(name);
      ports.set(name, clock.nowMs() + PORT_GRANTED_MS);
      const [oldest] = ports.keys();
      if (ports.size > MOST_PORTS && oldest !== undefined) ports.delete(oldest);
      guests.delete(guest);
      guests.add(guest);
      const [longest] = guests;
      if (guests.size > MOST_GUESTS && longest !== undefined) guests.delete(longest);
    },
    wasGranted: (guest) => guests.has(guest),
    checkPort(guest, port) {
      if ((ports.get(`${guest} ${port}`) ?? 0) < clock.nowMs()) throw notKnown();
    },
  };
}
