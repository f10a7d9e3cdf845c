/** Connections to and from the insides of guests, over the agent. Bytes that pass are use of the guest. */
import { AppError, isAppError, untilAborted } from "@mags/core";
import type { GuestAddress, GuestId, GuestSockets } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";
import { foreignText } from "../foreign-text.ts";
import { failureOf } from "./file-errors.ts";
import { checkAddress, type NumericAddress, numericAddresses } from "./guest-addresses.ts";
import { socketOver } from "./guest-socket.ts";
import type { AwakeGuest, Guests } from "./guests.ts";
import { listenOn } from "./listen-on.ts";
import { openedPaced, type PacedStream } from "./paced-stream.ts";

type Signal = { readonly signal: AbortSignal };

const TOUCH_EVERY_MS = 1_000;
/** Of one address; a kernel would go on for two minutes. */
const DIAL_MS = 20_000;

/** Another address of the same name may do. */
const NEXT_AFTER = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
]);

type Reasons = Readonly<Record<string, string>>;

const UNREACHED: Reasons = {
  ECONNREFUSED: "nothing listens there in the guest",
  ENOENT: "there is no such socket in the guest",
  EHOSTUNREACH: "the guest does not reach it",
  ENETUNREACH: "the guest does not reach it",
  ETIMEDOUT: "it does not answer the guest",
};
const UNBOUND: Reasons = {
  ENOENT: "its folder is not there in the guest",
  EADDRINUSE: "something listens there already in the guest",
  EADDRNOTAVAIL: "the guest does not have that address",
};

/** @param options.dialMs  How long one address is tried. Default: 20 s. */
export function createGuestSockets(
  guests: Guests,
  { dialMs = DIAL_MS }: { readonly dialMs?: number } = {},
): GuestSockets {
  /** Called with every piece that passes. */
  function toucher(id: GuestId): () => void {
    let touchedAtMs = Number.NEGATIVE_INFINITY;
    return () => {
      const now = performance.now();
      if (now - touchedAtMs < TOUCH_EVERY_MS) return;
      touchedAtMs = now;
      try {
        guests.get(id).touch();
      } catch {
        // It is ending.
      }
    };
  }

  /** Opens a stream in a guest that is awake; it goes on when this has resolved. */
  async function open<T>(
    id: GuestId,
    { what, reasons, signal }: Signal & { readonly what: string; readonly reasons: Reasons },
    begin: (guest: AwakeGuest, signals: Signal) => Promise<T>,
  ): Promise<T> {
    try {
      return await guests.get(id).use(
        "connection",
        (guest) => {
          const both = AbortSignal.any([signal, guest.gone]);
          return untilAborted(begin(guest, { signal: both }), both);
        },
        { signal },
      );
    } catch (error) {
      throw explain(error, what, reasons);
    }
  }

  /** Tries one address after the other. */
  async function dial(
    agent: AgentConnection,
    places: readonly NumericAddress[],
    signals: Signal,
  ): Promise<PacedStream> {
    let first: unknown;
    for (const at of places) {
      const patience = AbortSignal.timeout(dialMs);
      try {
        return await openedPaced(agent, { kind: "tcp", ...at }, { ...signals, patience });
      } catch (error) {
        const isLate = patience.aborted && !signals.signal.aborted;
        first ??= isLate ? new AppError("connection_refused", UNREACHED.ETIMEDOUT as string, { cause: error }) : error;
        if (!isLate && !NEXT_AFTER.has(failureOf(error)?.code ?? "")) break;
      }
    }
    throw first;
  }

  return {
    async connect(id, to, options) {
      checkAddress(to, { lowestPort: 1 });
      const how = { what: `connect to ${shown(to)}`, reasons: UNREACHED, ...options };
      return open(id, how, async ({ agent }, signals) => {
        const places = await numericAddresses(agent, to, signals);
        return socketOver(await dial(agent, places, signals), { touch: toucher(id), ...signals });
      });
    },
    async listen(id, at, { signal, wakes = true }) {
      checkAddress(at, { lowestPort: 0 });
      const how = { what: `listen on ${shown(at)}`, reasons: UNBOUND, signal };
      const begin = ({ agent }: AwakeGuest, signals: Signal) => listenOn(agent, at, { touch: toucher(id), ...signals });
      if (wakes) return open(id, how, begin);
      const guest = await guests.untilAwake(id, { signal });
      try {
        const both = AbortSignal.any([signal, guest.gone]);
        return await untilAborted(begin(guest, { signal: both }), both);
      } catch (error) {
        throw explain(error, how.what, how.reasons);
      }
    },
  };
}

function shown(address: GuestAddress): string {
  const text = "path" in address ? address.path : `${address.host}:${address.port}`;
  return foreignText(text, 200);
}

function explain(cause: unknown, what: string, reasons: Reasons): unknown {
  const failure = failureOf(cause);
  if (!failure && !isAppError(cause, "connection_refused")) return cause;
  const why = failure
    ? (reasons[failure.code] ?? [failure.step, failure.code, failure.message].filter(Boolean).join(": "))
    : (cause as AppError).message;
  return new AppError("connection_refused", `cannot ${what}: ${why}`, { cause });
}
