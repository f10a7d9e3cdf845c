/** What a run of a fuzzer found, and the line of its figures. */
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

export function describeRun(what: string, run: FuzzReport): string {
  const perSecond = Math.round((run.frames / run.elapsedMs) * 1_000);
  const held = Math.round(run.heldBytes / 1024);
  return `${run.frames} ${what}, ${perSecond}/s, ${run.reasons.size} kinds of violations, ${held} KiB more held at the end`;
}
