/**
 * What is asked of URLs, as gateways tell it: every request counts, and of each sandbox so many of a second are kept one
 * by one. Whoever tells something never waits; what cannot be stored for long is given up, which the log says.
 */
import { randomUUID } from "node:crypto";
import { type Clock, type Logger, messageOf, withDeadline } from "@mags/core";
import type { GuestId, UrlAccess } from "@mags/domain";
import { persistently } from "./persistently.ts";
import type { TrafficCount, UrlTrafficStore } from "./url-traffic-store.ts";

export interface UrlTraffic {
  /** Never throws, never waits: it is stored some time later, and lost when the process is killed before. */
  note(access: UrlAccess): void;
  /** Since the start, over all sandboxes. */
  readonly totals: Readonly<UrlTotals>;
  /** Stores what waits, for at most `deadlineMs`. */
  close(options: { readonly deadlineMs: number }): Promise<void>;
}

export interface UrlTotals {
  /** By the first digit of the status. */
  readonly requests: Readonly<Record<StatusClass, number>>;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export type StatusClass = 1 | 2 | 3 | 4 | 5;

/** Most ms of each bucket of durations but the last. */
export const BUCKETS_MS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000] as const;

const FLUSH_MS = 1_000;
/** Of one sandbox, between two writes. */
const MOST_ENTRIES = 100;
/** Of all. */
const MOST_WAITING = 20_000;
const DAY_MS = 86_400_000;

interface Batch {
  readonly id: string;
  readonly at: Date;
  readonly entries: UrlAccess[];
  readonly kept: Map<GuestId, number>;
  readonly counts: Map<string, { -readonly [Key in keyof TrafficCount]: TrafficCount[Key] }>;
}

export function createUrlTraffic(deps: {
  readonly store: Pick<UrlTrafficStore, "add">;
  readonly clock: Clock;
  readonly log: Logger;
}): UrlTraffic {
  const { store, clock, log } = deps;
  const closing = new AbortController();
  const requests = { 1: 0, 2: 0, 3: 0, 4: 0, 5: 0 };
  const totals = { requests, bytesIn: 0, bytesOut: 0 };
  let batch = newBatch(clock.now());
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | null = null;

  async function writeAll(): Promise<void> {
    while (batch.counts.size > 0) {
      const { id, at, entries, counts } = batch;
      batch = newBatch(clock.now());
      const given = { id, at, entries, counts: [...counts.values()] };
      try {
        await persistently(() => store.add(given), { signal: closing.signal });
      } catch (error) {
        closing.signal.throwIfAborted();
        const requests = given.counts.reduce((sum, count) => sum + count.requests, 0);
        log.error("url.traffic_not_stored", { requests, error: messageOf(error) });
      }
    }
  }

  function write(): Promise<void> {
    writing ??= writeAll().finally(() => {
      writing = null;
    });
    return writing;
  }

  function flush(): void {
    timer = undefined;
    write().catch(() => {
      // It was closed meanwhile, which says what was given up.
    });
  }

  return {
    totals,
    note(given) {
      if (closing.signal.aborted) return;
      const access = { ...given, atMs: likelyMs(given.atMs, clock.now().getTime()) };
      timer ??= setTimeout(flush, FLUSH_MS).unref();
      requests[classOf(access.status)]++;
      totals.bytesIn += access.bytesIn;
      totals.bytesOut += access.bytesOut;
      count(batch, access);
      const kept = batch.kept.get(access.guest) ?? 0;
      if (kept >= MOST_ENTRIES || batch.entries.length >= MOST_WAITING) return;
      batch.kept.set(access.guest, kept + 1);
      batch.entries.push(access);
    },
    async close({ deadlineMs }) {
      clearTimeout(timer);
      const all = async () => {
        while (batch.counts.size > 0 || writing) await write();
      };
      await withDeadline(all(), deadlineMs, () => new Error("the database does not take them"))
        .catch((error: unknown) => log.warn("url.traffic_given_up", { error: messageOf(error) }))
        .finally(() => closing.abort());
    },
  };
}

/** Clocks of gateways elsewhere may be wrong. */
const likelyMs = (atMs: number, nowMs: number) => Math.min(nowMs, Math.max(nowMs - DAY_MS, atMs));

const newBatch = (at: Date): Batch => ({ id: randomUUID(), at, entries: [], kept: new Map(), counts: new Map() });

function count({ counts }: Batch, { guest, atMs, status, durationMs, bytesIn, bytesOut }: UrlAccess): void {
  const day = Math.floor(atMs / DAY_MS);
  const statusClass = classOf(status);
  const found = BUCKETS_MS.findIndex((most) => durationMs <= most);
  const bucket = found < 0 ? BUCKETS_MS.length : found;
  const key = `${guest} ${day} ${statusClass} ${bucket}`;
  const of = counts.get(key);
  if (of) {
    of.requests++;
    of.bytesIn += bytesIn;
    of.bytesOut += bytesOut;
    of.durationMs += durationMs;
  } else {
    const dayText = new Date(day * DAY_MS).toISOString().slice(0, 10);
    counts.set(key, { guest, day: dayText, statusClass, bucket, requests: 1, bytesIn, bytesOut, durationMs });
  }
}

const classOf = (status: number): StatusClass => Math.min(5, Math.max(1, Math.floor(status / 100))) as StatusClass;
