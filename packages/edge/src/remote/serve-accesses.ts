/** What an edge tells of requests, at the server: it counts once, and only of guests that the edge has to do with. */
import type { UrlAccess } from "@mags/domain";
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
  const { asked, edge, taken, doubtful, answer } = call;
  const urls = urlsOf(call);
  const others: UrlAccess[] = [];
  for (const { ordinal, ...access } of decode(z.array(Access).max(MOST_ACCESSES), asked)) {
    if (edge.name !== null && ordinal !== undefined && !taken.take(edge.name, ordinal)) continue;
    if (edge.wasGranted(access.guest)) urls.note(access);
    else others.push(access);
  }
  doubtful.add(others, { address: edge.address, urls });
  await answer({});
}
