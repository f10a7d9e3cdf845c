/** The line of figures of a run. */
export function describeRun(
  what: string,
  run: {
    readonly frames: number;
    readonly elapsedMs: number;
    readonly heldBytes: number;
    readonly reasons: ReadonlySet<string>;
  },
): string {
  const perSecond = Math.round((run.frames / run.elapsedMs) * 1_000);
  const held = Math.round(run.heldBytes / 1024);
  return `${run.frames} ${what}, ${perSecond}/s, ${run.reasons.size} kinds of violations, ${held} KiB more held at the end`;
}
