/** Runs a fuzzer's conversations and says what they found. */
import { heldMemory } from "./held-memory.ts";

export interface FuzzReport {
  /** Frames or lines, or what was meant to be taken for one, that were sent to a connection. */
  readonly frames: number;
  readonly conversations: number;
  /** Conversations that ended by a violation. */
  readonly violations: number;
  /** Different reasons among them, numbers left out. */
  readonly reasons: ReadonlySet<string>;
  readonly elapsedMs: number;
  /** Growth of what the process holds, from the first tenth to the end. */
  readonly heldBytes: number;
}

export interface Conversation {
  readonly frames: number;
  /** Why it ended, when that was a violation. */
  readonly violation: string | undefined;
}

/** One conversation after the other, until so many frames were sent. @param converse  Is told how many were before. */
export async function runConversations(
  frames: number,
  converse: (framesSoFar: number) => Promise<Conversation>,
): Promise<FuzzReport> {
  const reasons = new Set<string>();
  const startedAt = performance.now();
  let sent = 0;
  let conversations = 0;
  let violations = 0;
  let heldEarly: number | undefined;
  while (sent < frames) {
    const talk = await converse(sent);
    sent += talk.frames;
    conversations++;
    if (talk.violation !== undefined) {
      violations++;
      reasons.add(talk.violation.replaceAll(/\d+/g, "N"));
    }
    if (sent >= frames / 10) heldEarly ??= heldMemory();
  }
  const elapsedMs = performance.now() - startedAt;
  return { frames: sent, conversations, violations, reasons, elapsedMs, heldBytes: heldMemory() - (heldEarly ?? 0) };
}

export function describeRun(what: string, run: FuzzReport): string {
  const perSecond = Math.round((run.frames / run.elapsedMs) * 1_000);
  const held = Math.round(run.heldBytes / 1024);
  return `${run.frames} ${what}, ${perSecond}/s, ${run.reasons.size} kinds of violations, ${held} KiB more held at the end`;
}
