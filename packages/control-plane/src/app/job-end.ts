import type { JobEnd } from "@mags/domain";
import type { NewJobEvent } from "./job.ts";
import type { JobOutcome, ScriptEnd } from "./job-store.ts";

/** The events that end a job or its script: nothing of its output comes after them. */
const END_EVENTS = [
  ...(["completed", "timed_out", "stopped", "failed", "lost", "withdrawn"] as const),
  ...(["script_ended", "script_lost"] as const),
];
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

/** SIGKILL ended it. */
const KILLED = 137;

/** What the end of its script makes of a job whose sandbox lives on. */
export function scriptEndOf(end: JobEnd): { readonly end: ScriptEnd; readonly event: NewJobEvent } {
  const endedAt = new Date(end.endedAtMs);
  switch (end.kind) {
    case "exited":
    case "stopped": {
      const { outcome } = outcomeOf(end);
      const { scriptDurationMs } = outcome;
      const exitCode = outcome.exitCode ?? KILLED;
      const name = eventName(end) === "timed_out" ? "timed_out" : "script_ended";
      return {
        end: { exitCode, scriptDurationMs, endedAt },
        event: { at: endedAt, name, data: { exitCode, scriptDurationMs } },
      };
    }
    case "lost":
    case "failed":
      return {
        end: { exitCode: KILLED, scriptDurationMs: null, endedAt },
        event: { at: endedAt, name: "script_lost", data: { exitCode: KILLED, message: end.message } },
      };
    default:
      return end satisfies never;
  }
}

/** Whether a job that ended so may never have had a microVM: then the sandbox that it was to make has none either. */
export function neverRan(end: JobEnd): boolean {
  return end.kind === "failed" || (end.kind === "stopped" && end.durationMs === null);
}

/** The node knows nothing of a job that was running: its microVM is gone, and what became of the script is unknown. */
export function lostOutcome(now: Date): { readonly outcome: JobOutcome; readonly event: NewJobEvent } {
  return failure(
    "the VM of this job was lost: the host or its virtual machine ended; submit the job again",
    now,
    "lost",
  );
}

export const SCRIPT_LOST = "the script was lost with the VM it ran in: the host or its virtual machine ended";

/** Its submission was answered with an error, but it turned out to be stored. */
export function withdrawnOutcome(
  now: Date,
  why = "the database did not confirm the job in time",
): { readonly outcome: JobOutcome; readonly event: NewJobEvent } {
  return failure(`not accepted: ${why}`, now, "withdrawn");
}

/** Stopped before it had a microVM. */
export function neverStarted(now: Date): JobEnd {
  return { kind: "stopped", exitCode: null, durationMs: null, endedAtMs: now.getTime() };
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
