/** What an edge tells the server, on its way there: it waits while the server is away, and is then sent in order. */
import { isAppError, type Logger, messageOf, sleep } from "@mags/core";
import type { Link } from "./link.ts";
import type { CallName } from "./protocol.ts";

export interface Outbox<T> {
  add(item: T): void;
  /** Resolves when all that were added have been taken by the server. */
  sent(): Promise<void>;
}

export interface OutboxOptions<T> {
  readonly call: CallName;
  /** What is sent at a time, at most. */
  readonly mostAtOnce: number;
  /** Further ones are dropped, and counted. */
  readonly mostWaiting: number;
  /** Others may come in that time, and are sent along. Default: 0. */
  readonly gatherMs?: number;
  readonly toWire: (item: T, sending: Sending) => unknown;
  /** Begins the names of what is logged: `<event>_refused`, `<event>_dropped`. */
  readonly event: string;
}

export interface Sending {
  /** Since it was added. */
  readonly lateMs: number;
  /** Of what was added, from 1: what is sent again has that which it had. */
  readonly ordinal: number;
}

interface Waiting<T> {
  readonly item: T;
  readonly ordinal: number;
  readonly atMs: number;
}

const PAUSE_MS = 200;

/** What was not heard to have arrived, because the connection was lost then, is sent again. */
export function createOutbox<T>(
  { link, log, signal }: { readonly link: Link; readonly log: Logger; readonly signal: AbortSignal },
  { call, mostAtOnce, mostWaiting, gatherMs = 0, toWire, event }: OutboxOptions<T>,
): Outbox<T> {
  const waiting: Waiting<T>[] = [];
  let sending: Promise<void> | undefined;
  let dropped = 0;
  let added = 0;

  async function send(): Promise<void> {
    if (gatherMs > 0) await sleep(gatherMs, { signal });
    while (waiting.length > 0) {
      await link.connected({ signal });
      const some = waiting.slice(0, mostAtOnce);
      try {
        const wire = some.map(({ item, ordinal, atMs }) =>
          toWire(item, { ordinal, lateMs: Math.round(performance.now() - atMs) }),
        );
        await link.ask(call, wire, { signal });
      } catch (error) {
        if (isAppError(error, "unavailable") || isAppError(error, "too_many_requests")) {
          await sleep(PAUSE_MS, { signal });
          continue;
        }
        log.error(`${event}_refused`, { count: some.length, error: messageOf(error) });
      }
      waiting.splice(0, some.length);
      if (dropped > 0) log.error(`${event}_dropped`, { count: dropped });
      dropped = 0;
    }
  }

  return {
    add(item) {
      if (waiting.length >= mostWaiting) dropped++;
      else waiting.push({ item, ordinal: ++added, atMs: performance.now() });
      sending ??= send()
        .catch(() => {}) // it is ending
        .finally(() => {
          sending = undefined;
        });
    },
    sent: async () => sending,
  };
}
