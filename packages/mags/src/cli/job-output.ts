import type { LogEntry } from "../sdk/wire.generated.ts";
import type { Cli } from "./cli.ts";
import type { Output } from "./output.ts";

/** Takes the entries of a followed job, its pieces of output in base64. */
export interface EntrySink {
  write(entry: LogEntry): Promise<void>;
}

export interface Printer extends EntrySink {
  piece(source: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
}

/** Output goes where the script wrote it, byte for byte; remarks of the platform go to standard error. */
export function createPrinter(cli: Cli): Printer {
  let last: Output | undefined;

  async function send(output: Output, data: string | Uint8Array): Promise<void> {
    // Both may be the same pipe: what was written first must come out first.
    if (last !== output) await last?.flush();
    last = output;
    await output.write(data);
  }

  return {
    piece: (source, bytes) => send(cli[source], bytes),
    async write({ source, message, level }) {
      const bytes = Buffer.from(message, "base64");
      if (source === "stdout") return await send(cli.stdout, bytes);
      if (source === "stderr") return await send(cli.stderr, bytes);
      const { gray, yellow } = cli.styles.stderr;
      await send(cli.stderr, `${(level === "error" ? yellow : gray)(`mags: ${bytes.toString("utf8").trimEnd()}`)}\n`);
    },
  };
}

/** What `--json` keeps of each stream. */
const KEPT_BYTES = 1024 * 1024;

export interface CollectedOutput {
  readonly stdout: string;
  readonly stderr: string;
  readonly output_truncated: boolean;
}

/** Keeps the beginning of both streams as text. */
export function createCollector(): EntrySink & { collected(): CollectedOutput } {
  const kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const sizes = { stdout: 0, stderr: 0 };
  const text = (source: "stdout" | "stderr") => Buffer.concat(kept[source]).subarray(0, KEPT_BYTES).toString("utf8");
  return {
    async write({ source, message }) {
      if (source === "system") return;
      const bytes = Buffer.from(message, "base64");
      if (sizes[source] < KEPT_BYTES) kept[source].push(bytes);
      sizes[source] += bytes.length;
    },
    collected: () => ({
      stdout: text("stdout"),
      stderr: text("stderr"),
      output_truncated: sizes.stdout > KEPT_BYTES || sizes.stderr > KEPT_BYTES,
    }),
  };
}
