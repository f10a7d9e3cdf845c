import type { JobEnd } from "@mags/domain";
import type { NewJobEvent } from "./job.ts";
import type { JobOutcome } from "./job-store.ts";

/** The events that end a job: nothing of its output comes after them. */
const END_EVENTS = ["completed", "timed_out", "stopped", "failed", "lost", "withdrawn"] as const;
type EndEvent = (typeof END_EVENTS)[number];

export function isEndEvent(name: string): boolean {
  return (END_EVENTS as readonly string[]).includes(name);
}

/** What the end that a node reports makes of a job. */
export function outcomeOf(end: JobEnd): { readonly outcome: JobOutcome; readonly event: NewJobEvent } {
  const completedAt = new Date(end.endedAtMs);
  switch (end.kind) {
    case "exited":
    case "stopped": {
      const { exitCode, durationMs } = end;
      const scriptDurationMs = durationMs === null ? null : Math.round(durationMs);
      return {
        outcome: { status: "completed", exitCode, errorMessage: null, scriptDurationMs, completedAt },
        event: { at: completedAt, name: eventName(end), data: { exitCode, scriptDurationMs } },
      };
    }
    case "lost":
      return failure(end.message, completedAt, "lost");
    case "failed":
      return failure(end.message, completedAt, "failed");
    default:
      return end satisfies never;
  }
}

/** The node knows nothing of a job that was running: its microVM is gone, and what became of the script is unknown. */
export function lostOutcome(now: Date): { readonly outcome: JobOutcome; readonly event: NewJobEvent } {
  return failure(
    "the VM of this job was lost: the host or its virtual machine ended; submit the job again",
    now,
    "lost",
  );
}

/** Its submission was answered with an error, but it turned out to be stored. */
export function withdrawnOutcome(now: Date): { readonly outcome: JobOutcome; readonly event: NewJobEvent } {
  return failure("not accepted: the database did not confirm the job in time", now, "withdrawn");
}

/** Stopped before it had a microVM. */
export function neverStartedOutcome(now: Date): { readonly outcome: JobOutcome; readonly event: NewJobEvent } {
  return outcomeOf({ kind: "stopped", exitCode: null, durationMs: null, endedAtMs: now.getTime() });
}

function eventName(end: Extract<JobEnd, { kind: "exited" | "stopped" }>): EndEvent {
  if (end.kind === "stopped") return "stopped";
  return end.timedOut ? "timed_out" : "completed";
}

function failure(errorMessage: string, completedAt: Date, name: EndEvent) {
  return {
    outcome: { status: "error", exitCode: null, errorMessage, scriptDurationMs: null, completedAt },
    event: { at: completedAt, name, data: { message: errorMessage } },
  } as const;
}
