/**
 * The log of a job as one sequence: its output, as lines or as it was read, and between it, where asked for, what the
 * platform did. Output is numbered from 1 in the order in which it is stored, so a position names the same place
 * however often the job is read, and reading can go on from there without loss or repetition.
 */
import { AppError, isAppError } from "@mags/core";
import {
  createLineSplitter,
  type LineSplitter,
  type LogRecord,
  type LogSource,
  type LogTail,
  type NodeRuntime,
} from "@mags/domain";
import { isScriptOver, type Job, type JobEvent } from "./job.ts";
import type { JobChanges } from "./job-changes.ts";
import { isEndEvent } from "./job-end.ts";
import type { JobStore } from "./job-store.ts";
import { persistently } from "./persistently.ts";
import { createWake } from "./wake.ts";

/** How far a reader has come: the number of its last piece of output, and the id of its last platform event. */
export interface LogPosition {
  readonly output: number;
  readonly event: number;
}

export type LogItem = {
  /** Where reading goes on after this item. */
  readonly position: LogPosition;
  readonly atMs: number;
} & (
  | { readonly kind: "output"; readonly source: LogSource; readonly bytes: Buffer }
  | { readonly kind: "event"; readonly event: JobEvent }
);

export interface LogRequest {
  /** `lines`: cut at newlines, without them. `pieces`: exactly the bytes the script wrote, as soon as they are there. */
  readonly form: "lines" | "pieces";
  readonly platformEvents: boolean;
  readonly after: LogPosition;
  /** Go on until its script is over; else what there is. */
  readonly follow: boolean;
}

export interface JobLogDeps {
  readonly store: JobStore;
  readonly node: NodeRuntime;
  readonly changes: JobChanges;
}

/**
 * Reads the log of a job, oldest first, in batches of about 1 MiB at most; nothing is read ahead of the consumer.
 * @returns With `follow`, the job as it was stored when its script was over; else null.
 */
export async function* readJobLog(
  { store, node, changes }: JobLogDeps,
  job: Job,
  request: LogRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<readonly LogItem[], Job | null> {
  const wake = createWake();
  const merge = createMerge(request);
  let tail: LogTail | null = null;
  let latest = job;
  // The job may have changed since it was read, before the subscription.
  let news = request.follow || request.platformEvents;
  const unsubscribe = changes.subscribe(job.id, (change) => {
    if (change === "stored") news = true;
    wake.call();
  });

  async function lookUp(): Promise<void> {
    // Lowered first: what is stored from now on calls for another look.
    news = false;
    latest = (await persistently(() => store.get(job.id), { signal })) ?? latest;
    if (request.platformEvents)
      merge.addEvents(await persistently(() => store.events(job.id, merge.lastEventId()), { signal }));
  }

  try {
    for (;;) {
      signal.throwIfAborted();
      if (news && request.platformEvents) await lookUp();
      tail ??= await tryOpenLog(node, job, wake.call);
      // Asked before reading: what comes in between is not the end then.
      const outputEnded = tail?.ended() ?? false;
      const records = (await tail?.read(merge.nextRecord())) ?? [];
      if (records.length > 0) {
        const items = merge.output(records);
        if (items.length > 0) yield items;
        continue;
      }
      // Some nodes know only from reading to its end that the output has ended: then once more.
      if (!outputEnded && tail?.ended()) continue;
      if (news) {
        // Only now: output does not wait for the database. What came before the job's end is read before it is told.
        await lookUp();
        continue;
      }
      // It gets no more output, whatever its node says.
      const ended = isScriptOver(latest);
      const rest = merge.caughtUp({ final: outputEnded || ended });
      if (rest.length > 0) yield rest;
      if (!request.follow) return null;
      if (ended) return latest;
      await wake.wait({ signal });
    }
  } finally {
    unsubscribe();
    await tail?.close();
  }
}

/** Null while there is no output: the job waits for its microVM, or never had one. */
async function tryOpenLog(node: NodeRuntime, job: Job, onChange: () => void): Promise<LogTail | null> {
  try {
    return await node.openLog(job.id, onChange);
  } catch (error) {
    if (isAppError(error, "job_not_found")) return null;
    throw new AppError("internal", `the output of job ${job.id} could not be opened`, { cause: error });
  }
}

/** Turns records into numbered items and puts events between them by time. */
function createMerge({ form, after }: LogRequest) {
  const splitter: LineSplitter = createLineSplitter();
  const events: JobEvent[] = [];
  let fetchedEventId = after.event;
  let position = after;
  /** Items of output seen, those before `after` included. */
  let seen = form === "pieces" ? after.output : 0;
  let nextRecord = form === "pieces" ? after.output + 1 : 1;
  let flushed = false;

  /** Events up to a time. What ends the job waits for the end of the output, however their clocks compare. */
  function eventItems(untilMs: number): LogItem[] {
    const final = untilMs === Number.POSITIVE_INFINITY;
    // In the order of their ids, whatever their times: a position says that all events up to its id were given.
    const waiting = events.findIndex((event) => event.at.getTime() > untilMs || (!final && isEndEvent(event.name)));
    const due = events.splice(0, waiting < 0 ? events.length : waiting);
    return due.map((event) => {
      position = { ...position, event: event.id };
      return { kind: "event", event, atMs: event.at.getTime(), position };
    });
  }

  function outputItems(pieces: Iterable<Pick<LogRecord, "source" | "atMs" | "bytes">>): LogItem[] {
    const items: LogItem[] = [];
    for (const { source, atMs, bytes } of pieces) {
      seen++;
      if (seen <= after.output) continue;
      items.push(...eventItems(atMs));
      position = { ...position, output: seen };
      items.push({ kind: "output", source, atMs, bytes, position });
    }
    return items;
  }

  return {
    nextRecord: () => nextRecord,
    lastEventId: () => fetchedEventId,
    addEvents(fresh: readonly JobEvent[]) {
      events.push(...fresh);
      fetchedEventId = fresh.at(-1)?.id ?? fetchedEventId;
    },
    output(records: readonly LogRecord[]): LogItem[] {
      nextRecord = (records.at(-1)?.index ?? nextRecord) + 1;
      return outputItems(form === "pieces" ? records : records.flatMap((record) => splitter.push(record)));
    },
    /** All output there is has been given. With `final`, what had no newline is the last line. */
    caughtUp({ final }: { readonly final: boolean }): LogItem[] {
      const last = final && !flushed && form === "lines" ? outputItems(splitter.end()) : [];
      flushed ||= final;
      return [...last, ...eventItems(Number.POSITIVE_INFINITY)];
    },
  };
}
