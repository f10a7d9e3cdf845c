/** One request, from what a client sent to what it was answered: found, let in, passed on, and noted. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { AppError, isAppError } from "@mags/core";
import type { GuestId, UrlAccess, UrlRoute, UrlVisitor } from "@mags/domain";
import type { Places } from "../ssh/places.ts";
import type { Forwarding, Traffic } from "./ask-guest.ts";
import { type Authority, authorityOf, targetOf } from "./authority.ts";
import { clientAddress, peerAddress } from "./client-address.ts";
import { placeOf } from "./dial.ts";
import { replyFailure } from "./failure-reply.ts";
import { forwardRequest } from "./forward-request.ts";
import { forwardUpgrade, type Upgrade } from "./forward-upgrade.ts";
import { type FrontRequest, type FrontResponse, isOver } from "./front-response.ts";
import type { GuestAgent } from "./guest-agent.ts";
import type { GuestGates } from "./guest-gates.ts";
import type { ClientSeen } from "./headers.ts";
import { isFromElsewhere, keepPass, OWN_NAMES, passOf } from "./pass.ts";
import type { Routes } from "./routes.ts";

export interface VisitDeps {
  readonly routes: Routes;
  readonly agent: GuestAgent;
  readonly clock: { nowMs(): number };
  readonly limits: { readonly wakeMs: number; readonly answerMs: number };
  /** A proxy of the operator's: what it says of its clients holds. */
  readonly isTrusted: (address: string) => boolean;
  readonly note: (access: UrlAccess) => void;
  /** Of each guest, what is asked of it at a time. */
  readonly crowds: Places<GuestId>;
  /** Of these, those that are passed on to it; the others wait. */
  readonly gates: GuestGates;
}

export type Visit =
  | { readonly from: FrontRequest; readonly to: FrontResponse; readonly upgrade?: undefined }
  /** It asks for a WebSocket. */
  | (Pick<Upgrade, "from" | "to"> & { readonly upgrade: Upgrade });

/** Resolves when it is over. @throws what is nobody's fault but ours */
export async function serveVisit(deps: VisitDeps, visit: Visit): Promise<void> {
  const { from, to } = visit;
  const begunMs = deps.clock.nowMs();
  const traffic: Traffic = { in: 0, out: 0 };
  let route: UrlRoute | undefined;
  let visitor: UrlVisitor | undefined;
  const authority = authorityOf(from);
  // Of a stream of HTTP/2 that is over nobody knows it any more.
  const seen = seenOf(from, deps.isTrusted);
  try {
    const target = targetOf(from);
    if (!authority || target === undefined)
      throw new AppError("validation_failed", "the request does not say which host it is for, or names two");
    const pass = passOf(from, target);
    visitor = visitorOf(from, { target, client: seen.first });
    const found = await deps.routes.find({ host: authority.host, pass: pass?.text ?? null, visitor });
    route = found;
    if (isOver(to)) throw new AppError("unavailable", "the client has left");
    const isUpgrade = visit.upgrade !== undefined;
    if (found.isPrivate && pass && isFromElsewhere(from, pass, { authority: authority.text, isUpgrade }))
      throw new AppError("forbidden", "this page is private, and a page of another host has asked for it");
    // What else than a page is asked for once more would be another request.
    if (found.isPrivate && pass?.by === "link" && !isUpgrade && /^(GET|HEAD)$/.test(from.method ?? ""))
      keepPass(visit, pass, { scheme: seen.scheme, authority: authority.text });
    else {
      const clean = pass?.cleanTarget ?? target;
      const on = { route: found, authority, target: clean, traffic, seen };
      await inCrowd(deps, { guest: found.guest, to }, () => passOn(deps, visit, on));
    }
  } catch (error) {
    if (!isAppError(error)) throw error;
    replyFailure(from, to, error);
  } finally {
    if (route && authority && visitor)
      deps.note(accessOf(visit, { route, authority, traffic, visitor, durationMs: deps.clock.nowMs() - begunMs }));
  }
}

/** What is asked of one guest, however much, leaves room for others. */
async function inCrowd(
  deps: Pick<VisitDeps, "crowds" | "gates" | "limits">,
  { guest, to }: { readonly guest: GuestId; readonly to: FrontResponse },
  visit: () => Promise<void>,
): Promise<void> {
  const leave = deps.crowds.take(guest);
  if (!leave) throw tooMany();
  try {
    const leaveGuest = await enter(deps, guest, to);
    try {
      await visit();
    } finally {
      leaveGuest();
    }
  } finally {
    leave();
  }
}

const tooMany = () =>
  new AppError("unavailable", "more is asked of this sandbox at a time than is passed on: try again later");

/** Waits for a place as long as for a guest to wake, unless the client leaves. */
async function enter(
  { gates, limits }: Pick<VisitDeps, "gates" | "limits">,
  guest: GuestId,
  to: FrontResponse,
): Promise<() => void> {
  if (gates.hasRoom(guest)) return await gates.enter(guest);
  const waiting = new AbortController();
  const late = setTimeout(() => waiting.abort(tooMany()), limits.wakeMs);
  const leave = () => waiting.abort(new AppError("unavailable", "the client has left"));
  to.once("close", leave);
  try {
    return await gates.enter(guest, { signal: waiting.signal });
  } finally {
    clearTimeout(late);
    to.off("close", leave);
  }
}

interface Found {
  readonly route: UrlRoute;
  readonly authority: Authority;
  readonly target: string;
  readonly traffic: Traffic;
  readonly seen: Seen;
}

type Seen = Omit<ClientSeen, "authority">;

function seenOf(from: FrontRequest, isTrusted: VisitDeps["isTrusted"]): Seen {
  const address = peerAddress(from);
  const trusted = isTrusted(address);
  const told = `${from.headers["x-forwarded-proto"] ?? ""}`.toLowerCase();
  const scheme = trusted && (told === "http" || told === "https") ? told : schemeOf(from);
  return { address, first: clientAddress(from, isTrusted), scheme, port: from.socket.localPort ?? 0, trusted };
}

async function passOn(
  deps: VisitDeps,
  { from, to, upgrade }: Visit,
  { route, authority, target, traffic, seen }: Found,
): Promise<void> {
  const client: ClientSeen = { ...seen, authority: authority.text };
  const forwarding: Forwarding = {
    ...{ agent: deps.agent, client, own: OWN_NAMES, answerMs: deps.limits.answerMs, target, traffic },
    place: placeOf(route, { clock: deps.clock, wakeMs: deps.limits.wakeMs }),
  };
  if (upgrade) await forwardUpgrade(upgrade, forwarding);
  else await forwardRequest(from, to, forwarding);
}

const schemeOf = ({ socket }: { readonly socket: Socket }) => ((socket as TLSSocket).encrypted ? "https" : "http");

/** In place of a status that the client did not get, as it had left. */
const LEFT = 499;
const WEB_SOCKET = 101;
const MOST_PATH = 512;
const MOST_METHOD = 64;
const MOST_ADDRESS = 64;

function visitorOf(
  { method = "" }: FrontRequest,
  { target, client }: { readonly target: string; readonly client: string },
): UrlVisitor {
  const path = target.split("?", 1)[0]?.slice(0, MOST_PATH) ?? "";
  return { clientAddress: client.slice(0, MOST_ADDRESS), method: method.slice(0, MOST_METHOD), path };
}

interface Told {
  readonly durationMs: number;
  readonly visitor: UrlVisitor;
}

function accessOf(
  { to, upgrade }: Visit,
  { route, authority, traffic, durationMs, visitor }: Omit<Found, "target" | "seen"> & Told,
): UrlAccess {
  const status = to.headersSent ? to.statusCode : upgrade && !isOver(to) ? WEB_SOCKET : LEFT;
  return {
    ...{ atMs: Date.now() - durationMs, host: authority.host, guest: route.guest },
    ...visitor,
    ...{ status, durationMs: Math.round(durationMs * 10) / 10, bytesIn: traffic.in, bytesOut: traffic.out },
  };
}
