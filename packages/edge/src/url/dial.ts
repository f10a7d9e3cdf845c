/** Connections to what listens in a guest, which may have to wake and to start its server first. */
import { AppError, isAppError, sleep } from "@mags/core";
import type { GuestSocket, GuestSockets, UrlRoute } from "@mags/domain";
import type { GuestPlace } from "./guest-agent.ts";

export interface Dialing {
  readonly node: Pick<GuestSockets, "connect">;
  readonly clock: { nowMs(): number };
  /** For the guest to wake, and its server to listen. */
  readonly wakeMs: number;
  readonly signal: AbortSignal;
}

const FIRST_PAUSE_MS = 20;
const MOST_PAUSE_MS = 500;

/** A server that was just started, or whose guest has just woken, may not listen yet. */
export function placeOf(
  { guest, port, awakeMs }: UrlRoute,
  { clock, wakeMs }: Pick<Dialing, "clock" | "wakeMs">,
): GuestPlace {
  return { guest, port, patientUntilMs: clock.nowMs() + Math.max(0, wakeMs - (awakeMs ?? 0)) };
}

/** @throws AppError `connection_refused` when nothing listens; `guest_timeout` when the guest does not wake; `job_not_running` */
export async function dialGuest(place: GuestPlace, { node, clock, wakeMs, signal }: Dialing): Promise<GuestSocket> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), wakeMs); // of dialling only: a connection may last longer
  const either = { signal: AbortSignal.any([signal, late.signal]) };
  try {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS)) {
      try {
        return await node.connect(place.guest, { host: "127.0.0.1", port: place.port }, either);
      } catch (error) {
        if (late.signal.aborted)
          throw new AppError("guest_timeout", `the sandbox does not wake: it has not for ${wakeMs / 1000} s`);
        if (isAppError(error, "job_not_running"))
          throw new AppError("job_not_running", "the sandbox has ended: its owner has to start it", { cause: error });
        if (!isAppError(error, "connection_refused")) throw error;
        if (clock.nowMs() + pauseMs > place.patientUntilMs)
          throw new AppError("connection_refused", `nothing listens on port ${place.port} in the sandbox`, {
            cause: error,
          });
      }
      await sleep(pauseMs, either).catch(() => {}); // the next try tells
    }
  } finally {
    clearTimeout(timer);
  }
}
