/** The value below which a share of the samples lies: `percentile(samples, 0.5)` is the median. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? Number.NaN;
}

export interface Summary {
  readonly n: number;
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export function summarize(samples: readonly number[]): Summary {
  const at = (share: number) => round(percentile(samples, share));
  return { n: samples.length, min: at(0), p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

export function round(value: number, digits = 1): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

export function showSummary(name: string, summary: Summary, unit = "ms"): string {
  const { n, min, p50, p90, p99, max } = summary;
  return `  ${name.padEnd(44)} P50 ${p50}  P90 ${p90}  P99 ${p99}  min ${min}  max ${max} ${unit}  (n ${n})`;
}
