/** Connections to where URLs lead, as an edge has them. */
import { AppError } from "@mags/core";
import type { GuestSockets } from "@mags/domain";
import { z } from "zod";
import type { Link } from "./link.ts";
import { PortOfGuest } from "./messages.ts";
import { socketOver } from "./socket-over-pipe.ts";

/** There are more of them than of other connections, and they take nobody's place. */
export function createRemoteVisits(link: Link): Pick<GuestSockets, "connect"> {
  return {
    async connect(guest, at, { signal }) {
      if (!("port" in at)) throw new AppError("not_supported", "a URL leads to a port");
      const asked = z.encode(PortOfGuest, { guest, port: at.port });
      return socketOver((await forVisitors(link, () => link.open("visit", asked, { signal }))).pipe);
    },
  };
}

/** Whoever uses a URL is not told where the server is that cannot be reached. */
export async function forVisitors<T>(link: Pick<Link, "problem">, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    if (link.problem === null) throw cause;
    throw new AppError("unavailable", "the server cannot be reached now: try again in a moment", { cause });
  }
}
