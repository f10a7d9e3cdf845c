import type { RunningSync } from "../sdk/wire.generated.ts";
import type { Styles } from "./styles.ts";

/** `350ms`, `1.2s`, `3m05s`, `2h04m`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const minutes = Math.floor(Math.round(ms / 1000) / 60);
  if (minutes < 60) return `${minutes}m${pad(Math.round(ms / 1000) % 60)}s`;
  return `${Math.floor(minutes / 60)}h${pad(minutes % 60)}m`;
}

/** How long ago, in one unit: `12s`, `3m`, `2h`, `5d`. A clock that is behind gives `0s`. */
export function age(from: string, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(from)) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** In one unit of 1024: `0 B`, `512 B`, `1.5 KiB`, `12 MiB`, `3.0 GiB`. */
export function bytes(count: number): string {
  let [value, unit] = [count, "B"];
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024) break;
    [value, unit] = [value / 1024, next];
  }
  return `${unit === "B" || value >= 10 ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

/** How far a sync is: `publishing, 12 MiB of 200 MiB read, 4.0 MiB sent`. */
export function runningText({ read_bytes, total_bytes, sent_bytes }: RunningSync): string {
  return `publishing, ${bytes(read_bytes)} of ${bytes(total_bytes)} read, ${bytes(sent_bytes)} sent`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

export function paintStatus(styles: Styles, status: string): string {
  if (status === "error") return styles.red(status);
  if (status === "completed") return styles.gray(status);
  return status === "running" ? styles.green(status) : styles.yellow(status);
}

/** Lines `Key: value`, values aligned; fields without a value are left out. */
export function writeFields(fields: readonly (readonly [string, string | number | undefined])[]): string {
  const known = fields.filter(([, value]) => value !== undefined);
  const width = Math.max(...known.map(([key]) => key.length)) + 2;
  return known.map(([key, value]) => `${`${key}:`.padEnd(width)}${value}`).join("\n");
}

/** Columns two blanks apart. Cells may be coloured: they are measured without their escape sequences. */
export function writeTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => visibleLength(row[column] ?? ""))));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - visibleLength(cell))).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}

/** What strangers chose, without what a terminal would act on. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, "?");
}

function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what is looked for
  return text.replace(/\x1b\[\d+m/g, "").length;
}
