/** What an edge tells of requests, at the server: it counts once, and only of guests that the edge has to do with. */
import { z } from "zod";
import { decode } from "./json.ts";
import { MOST_ACCESSES } from "./protocol.ts";
import { urlsOf } from "./serve-urls.ts";
import type { ServerCall } from "./server-call.ts";
import { Access } from "./url-messages.ts";

/**
 * Of a guest that this connection was not led to, the host has to be the guest's: requests may be from before the
 * connection was made, or this server started.
 */
export async function serveAccesses(call: ServerCall): Promise<void> {
  const { asked, edge, taken, refusedAccesses, answer } = call;
  const urls = urlsOf(call);
  const told = decode(z.array(Access).max(MOST_ACCESSES), asked);
  const others = told.filter(({ guest }) => !edge.wasGranted(guest));
  const areOf = others.length > 0 ? await urls.areOf(others) : [];
  const refused = new Set(others.filter((_access, at) => areOf[at] !== true));
  // At once: what is told again may be under way on another connection.
  for (const access of told) {
    const { ordinal, ...noted } = access;
    const { host, guest } = noted;
    if (edge.name !== null && ordinal !== undefined && !taken.take(edge.name, ordinal)) continue;
    if (refused.has(access)) refusedAccesses.note({ address: edge.address, host, guest });
    else urls.note(noted);
  }
  await answer({});
}
