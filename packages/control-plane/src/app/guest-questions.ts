/** Whether guests are over, asked of the database together and one question at a time: however many ask, others get their turn. */
import { untilAborted } from "@mags/core";
import { type GuestId, isTerminal, type JobId, type SandboxId } from "@mags/domain";
import type { JobStore } from "./job-store.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export interface GuestQuestionsDeps {
  readonly store: Pick<JobStore, "statuses">;
  readonly sandboxes: Pick<SandboxStore, "knownAmong">;
}

interface Question {
  askers: number;
  readonly answer: PromiseWithResolvers<boolean>;
}

/** Guests in one question. */
const MOST_GUESTS = 500;

/**
 * @returns the question. Its answer is of a time after it was put; what nobody wants to know any more is not asked.
 *   @throws the signal's reason, and what the stores throw
 */
export function createGuestQuestions({ store, sandboxes }: GuestQuestionsDeps) {
  const waiting = new Map<GuestId, Question>();
  let isAsking = false;

  /** A guest is a sandbox, or else a job with a microVM of its own. */
  async function overAmong(guests: readonly GuestId[]): Promise<ReadonlySet<GuestId>> {
    const known = await sandboxes.knownAmong(guests as readonly SandboxId[]);
    const jobs = guests.filter((guest) => !known.has(guest as SandboxId));
    const statuses = await store.statuses(jobs as readonly JobId[]);
    const isOver = (guest: GuestId) => {
      const sandbox = known.get(guest as SandboxId);
      if (sandbox !== undefined) return sandbox === "ended";
      const status = statuses.get(guest as JobId);
      return status === undefined || isTerminal(status);
    };
    return new Set(guests.filter(isOver));
  }

  async function askAll(): Promise<void> {
    if (isAsking) return;
    isAsking = true;
    while (waiting.size > 0) {
      const some = [...waiting.entries().take(MOST_GUESTS)];
      for (const [guest] of some) waiting.delete(guest);
      try {
        const over = await overAmong(some.map(([guest]) => guest));
        for (const [guest, { answer }] of some) answer.resolve(over.has(guest));
      } catch (error) {
        for (const [, { answer }] of some) answer.reject(error);
      }
    }
    isAsking = false;
  }

  return async (guest: GuestId, { signal }: { readonly signal: AbortSignal }): Promise<boolean> => {
    signal.throwIfAborted();
    const question = waiting.get(guest) ?? { askers: 0, answer: Promise.withResolvers<boolean>() };
    question.answer.promise.catch(() => {}); // whoever still asks hears of it
    waiting.set(guest, question);
    question.askers++;
    void askAll();
    try {
      return await untilAborted(question.answer.promise, signal);
    } finally {
      question.askers--;
      if (question.askers === 0 && waiting.get(guest) === question) waiting.delete(guest);
    }
  };
}
