/** Hears from the server that guests are over: of all of an edge by one call, which is made anew when the connection is. */
import { type Logger, messageOf, sleep, untilAborted } from "@mags/core";
import type { GuestId, SshDirectory } from "@mags/domain";
import { decode, parseJson } from "./json.ts";
import type { Link } from "./link.ts";
import { Guest } from "./messages.ts";
import { type Pipe, violation } from "./pipe.ts";
import { FRAME } from "./protocol.ts";

interface Watched {
  waiting: number;
  readonly over: PromiseWithResolvers<void>;
}

const PAUSE_MS = 1_000;

/** Who waits goes on to do so while the server is away. */
export function createGuestWatch(
  link: Link,
  { log, signal: ending }: { readonly log: Logger; readonly signal: AbortSignal },
): SshDirectory["untilOver"] {
  const watched = new Map<GuestId, Watched>();
  /** Of the call that is under way. */
  let current: Pipe | undefined;
  let isFollowing = false;

  function tell(type: number, guest: GuestId): void {
    current?.writeJson(type, guest).catch(() => {}); // the next call tells of it
  }

  async function follow(): Promise<void> {
    const { pipe } = await link.open("ends", {}, { signal: ending });
    const cut = () => pipe.cut();
    ending.addEventListener("abort", cut);
    try {
      current = pipe;
      for (const guest of watched.keys()) tell(FRAME.watch, guest);
      for (let frame = await pipe.frame(); frame; frame = await pipe.frame()) {
        if (frame.type !== FRAME.over) throw violation("that is no end of a guest");
        const guest = decode(Guest, parseJson(frame.payload));
        watched.get(guest)?.over.resolve();
        watched.delete(guest);
      }
    } finally {
      current = undefined;
      ending.removeEventListener("abort", cut);
      pipe.cut();
    }
  }

  async function keepFollowing(): Promise<void> {
    for (;;) {
      await link.connected({ signal: ending });
      await follow().catch((error: unknown) => log.info("upstream.ends_unknown", { error: messageOf(error) }));
      await sleep(PAUSE_MS, { signal: ending });
    }
  }

  return async (guest, { signal }) => {
    signal.throwIfAborted();
    if (!isFollowing) keepFollowing().catch(() => {}); // it is ending
    isFollowing = true;
    const found = watched.get(guest);
    const one = found ?? { waiting: 0, over: Promise.withResolvers<void>() };
    watched.set(guest, one);
    if (!found) tell(FRAME.watch, guest);
    one.waiting++;
    try {
      await untilAborted(one.over.promise, AbortSignal.any([signal, ending]));
    } finally {
      one.waiting--;
      if (one.waiting === 0 && watched.get(guest) === one) {
        watched.delete(guest);
        tell(FRAME.unwatch, guest);
      }
    }
  };
}
