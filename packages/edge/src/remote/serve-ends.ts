/** The call by which an edge hears that guests are over, at the server. */
import { AppError, untilAborted } from "@mags/core";
import type { GuestId } from "@mags/domain";
import { decode, parseJson } from "./json.ts";
import { Guest } from "./messages.ts";
import { violation } from "./pipe.ts";
import { FRAME, MOST_WATCHED } from "./protocol.ts";
import { sshOf } from "./serve-directory.ts";
import type { ServerCall } from "./server-call.ts";

/** Each is answered with `over` when it is; when that cannot be known now the call ends, and the edge makes another. */
export async function serveEnds(call: ServerCall): Promise<void> {
  const { pipe, edge, signal, answer } = call;
  const directory = sshOf(call);
  if (edge.hearsOfEnds) throw new AppError("too_many_requests", "the edge hears of the ends of guests already");
  edge.hearsOfEnds = true;
  const watched = new Map<GuestId, AbortController>();
  /** All that is to be told so far. */
  let told: Promise<void> = Promise.resolve();

  async function follow(guest: GuestId, until: AbortSignal): Promise<void> {
    await directory.untilOver(guest, { signal: until });
    if (!watched.delete(guest)) return;
    told = told.then(() => pipe.writeJson(FRAME.over, guest));
    await told;
  }

  function watch(guest: GuestId): void {
    if (watched.has(guest)) return;
    if (watched.size >= MOST_WATCHED) throw violation("it watches more guests than it may");
    const leaving = new AbortController();
    watched.set(guest, leaving);
    follow(guest, leaving.signal).catch(() => {
      if (!leaving.signal.aborted) pipe.cut();
    });
  }

  function unwatch(guest: GuestId): void {
    watched.get(guest)?.abort();
    watched.delete(guest);
  }

  try {
    await answer({});
    /** An edge that takes no answers is not listened to. */
    const next = async () => {
      await untilAborted(told, signal);
      return untilAborted(pipe.frame(), signal);
    };
    for (let frame = await next(); frame; frame = await next()) {
      const guest = decode(Guest, parseJson(frame.payload));
      if (frame.type === FRAME.watch) watch(guest);
      else if (frame.type === FRAME.unwatch) unwatch(guest);
      else throw violation("that is no question about the end of a guest");
    }
  } finally {
    for (const guest of [...watched.keys()]) unwatch(guest);
    edge.hearsOfEnds = false;
  }
}
