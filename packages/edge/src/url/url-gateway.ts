/**
 * The web servers of guests, on the web. Owns the connections of clients and those to guests; where a host leads, and who
 * may go there, is the business of the directory.
 */
import { AppError, type Logger, messageOf } from "@mags/core";
import type { GuestSockets, UrlDirectory } from "@mags/domain";
import { createPlaces } from "../ssh/places.ts";
import { dialGuest } from "./dial.ts";
import { replyFailure } from "./failure-reply.ts";
import { breakOff } from "./front-response.ts";
import { type FrontLimits, type FrontOptions, openFrontServers, shareOf } from "./front-servers.ts";
import { GuestAgent } from "./guest-agent.ts";
import { createGuestGates } from "./guest-gates.ts";
import { openPlainServer, type PlainOptions } from "./plain-server.ts";
import { createRoutes } from "./routes.ts";
import { serveVisit, type Visit, type VisitDeps } from "./visit.ts";

export interface UrlGatewayOptions extends FrontOptions {
  /** Beside TLS. Null: nothing. */
  readonly plain: PlainOptions | null;
  readonly limits: UrlLimits;
}

export interface UrlLimits extends FrontLimits {
  /** For a guest to wake, and its server to listen. */
  readonly wakeMs: number;
  /** Requests and WebSockets that are passed on to one guest at a time; others wait for `wakeMs` at most. */
  readonly visitsPerGuest: number;
  /** For the head of a guest's answer. */
  readonly answerMs: number;
}

/** Disposing of it lets answers that are under way end for a moment. */
export interface UrlGateway extends AsyncDisposable {
  readonly port: number;
  /** Null: it is not listened without TLS beside that. */
  readonly plainPort: number | null;
}

export interface UrlGatewayDeps {
  readonly directory: UrlDirectory;
  readonly node: Pick<GuestSockets, "connect">;
  readonly log: Logger;
}

const GOODBYE_MS = 2_000;

/** @throws what listening throws */
export async function startUrlGateway(
  { directory, node, log }: UrlGatewayDeps,
  options: UrlGatewayOptions,
): Promise<UrlGateway> {
  const { limits, isTrusted, plain } = options;
  const ending = new AbortController();
  const clock = { nowMs: () => performance.now() };
  const dialing = { node, clock, wakeMs: limits.wakeMs, signal: ending.signal };
  const agent = new GuestAgent((place) => dialGuest(place, dialing));
  const deps: VisitDeps = {
    ...{ agent, clock, limits, isTrusted, note: (access) => directory.note(access) },
    crowds: createPlaces(shareOf(limits.connections)),
    gates: createGuestGates(limits.visitsPerGuest),
    routes: createRoutes(directory, { clock, signal: ending.signal }),
  };
  async function take(visit: Visit): Promise<void> {
    try {
      await serveVisit(deps, visit);
    } catch (error) {
      log.error("url.failed", { error: messageOf(error) });
      try {
        replyFailure(visit.from, visit.to, new AppError("internal", "something went wrong at the gateway"));
      } catch {
        breakOff(visit.to); // what went wrong may be the answer itself
      }
    }
  }

  const front = await openFrontServers({ take: (visit) => void take(visit), log }, options);
  async function openPlain(at: PlainOptions) {
    try {
      const tlsPort = at.publicPort ?? front.port;
      return await openPlainServer({ directory, log, signal: ending.signal }, { ...at, limits, tlsPort });
    } catch (error) {
      await front.close(0);
      throw error;
    }
  }
  const plainServer = plain && (await openPlain(plain));
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    await Promise.all([front.close(GOODBYE_MS), plainServer?.[Symbol.asyncDispose]()]);
    ending.abort(new AppError("unavailable", "the gateway is ending"));
    agent.destroy();
  }
  return {
    ...{ port: front.port, plainPort: plainServer?.port ?? null },
    [Symbol.asyncDispose]() {
      closing ??= close();
      return closing;
    },
  };
}
