/** What a benchmark gets: a place for its lines and figures. */
export interface BenchContext {
  /** Prints one line. */
  readonly say: (line: string) => void;
  /** Takes down a figure under a name, for the result file. */
  readonly note: (name: string, figure: unknown) => void;
}

export type Benchmark = (context: BenchContext) => Promise<void>;
