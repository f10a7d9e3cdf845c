/** Where URLs lead, as an edge hears it from its server. */
import { AppError, isAppError } from "@mags/core";
import type { UrlAccess, UrlDirectory } from "@mags/domain";
import { z } from "zod";
import { decode } from "./json.ts";
import type { Link } from "./link.ts";
import type { Outbox, OutboxOptions } from "./outbox.ts";
import { type CallName, MOST_ACCESSES } from "./protocol.ts";
import { forVisitors } from "./remote-visits.ts";
import {
  AskedCertificate,
  AskedChallenge,
  accessToWire,
  Certificate,
  Challenge,
  isHost,
  isPass,
  Route,
  Visit,
} from "./url-messages.ts";

/** One call tells of many requests. */
const GATHER_MS = 250;

export const ACCESSES: OutboxOptions<UrlAccess> = {
  ...{ call: "access", mostAtOnce: MOST_ACCESSES, mostWaiting: 20_000, gatherMs: GATHER_MS },
  ...{ event: "upstream.accesses", toWire: accessToWire },
};

export function createRemoteUrls(link: Link, accesses: Outbox<UrlAccess>): UrlDirectory {
  async function ask(call: CallName, asked: unknown, { signal }: { readonly signal: AbortSignal }): Promise<unknown> {
    try {
      return await forVisitors(link, () => link.ask(call, asked, { signal }));
    } catch (error) {
      // Whoever asks for a URL can do nothing about that.
      if (isAppError(error, "not_supported")) throw new AppError("unavailable", error.message, { cause: error });
      if (!isAppError(error, "route_not_found")) throw error;
      const message =
        "the server of this edge is older than the edge, and has no URLs: install the same version on both";
      throw new AppError("unavailable", message, { cause: error });
    }
  }
  return {
    async route(visit, signals) {
      if (!isHost(visit.host)) throw new AppError("url_not_found", "no host has a name as long as that");
      if (!isPass(visit.pass)) throw new AppError("unauthenticated", "what was shown to open this page is too long");
      return decode(Route, await ask("route", z.encode(Visit, visit), signals));
    },
    async certificate(host, signals) {
      if (!isHost(host)) return null;
      return decode(Certificate.nullable(), await ask("certificate", z.encode(AskedCertificate, { host }), signals));
    },
    async challenge(asked, signals) {
      if (!z.safeEncode(AskedChallenge, asked).success) return null;
      return decode(Challenge.nullable(), await ask("challenge", asked, signals));
    },
    note: (access) => accesses.add(access),
  };
}
