/**
 * Tells of what guests were denied: looks at a running job's denials after 2 s, then ever more seldom, and once more when
 * its microVM has ended. A look costs a few milliseconds of a processor, so none stands in the way of a job's end.
 */
import { type Clock, type Logger, messageOf, sleep } from "@mags/core";
import type { JobId, JobUpdate } from "@mags/domain";
import type { Denial } from "../network/namespace-rules.ts";
import { planDenialEvents } from "./denial-events.ts";

export interface EgressWatch extends AsyncDisposable {
  begin(jobId: JobId, index: number): void;
  /** The last look, with the microVM gone and its namespace still there. Nothing for a job that was not begun. */
  end(jobId: JobId): Promise<void>;
}

export interface EgressWatchDeps {
  readonly denials: (index: number) => Promise<readonly Denial[]>;
  readonly report: (update: JobUpdate) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

const FIRST_LOOK_MS = 2_000;
const LONGEST_PAUSE_MS = 60_000;

interface Watched {
  readonly index: number;
  readonly told: Map<string, number>;
  events: number;
  readonly over: AbortController;
  looking: Promise<void>;
}

export function createEgressWatch(
  deps: EgressWatchDeps,
  { firstLookMs }: { readonly firstLookMs: number } = { firstLookMs: FIRST_LOOK_MS },
): EgressWatch {
  const { denials, report, clock, log } = deps;
  const watched = new Map<JobId, Watched>();
  let isOver = false;

  async function look(jobId: JobId, watch: Watched, last: boolean): Promise<void> {
    const found = await denials(watch.index);
    const events = planDenialEvents(watch.told, found, { eventsSoFar: watch.events, last });
    watch.events += events.length;
    const atMs = clock.now().getTime();
    for (const data of events) report({ type: "note", jobId, name: "egress_denied", atMs, data: { ...data } });
  }

  async function keepLooking(jobId: JobId, watch: Watched): Promise<void> {
    const { signal } = watch.over;
    for (let pauseMs = firstLookMs; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      await sleep(pauseMs, { signal });
      await look(jobId, watch, false).catch((error: unknown) =>
        log.warn("egress.look_failed", { jobId, error: messageOf(error) }),
      );
    }
  }

  return {
    begin(jobId, index) {
      if (isOver) return;
      watched.get(jobId)?.over.abort(); // of a microVM before this one
      const watch: Watched = {
        index,
        told: new Map(),
        events: 0,
        over: new AbortController(),
        looking: Promise.resolve(),
      };
      watched.set(jobId, watch);
      watch.looking = keepLooking(jobId, watch).catch(() => {}); // it ends by its signal only
    },
    async end(jobId) {
      const watch = watched.get(jobId);
      if (!watch) return;
      watched.delete(jobId);
      watch.over.abort();
      await watch.looking;
      await look(jobId, watch, true);
    },
    async [Symbol.asyncDispose]() {
      isOver = true;
      for (const { over } of watched.values()) over.abort();
      await Promise.all([...watched.values()].map(({ looking }) => looking));
      watched.clear();
    },
  };
}
