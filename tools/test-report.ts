/** Turns the events of node:test into a short report: a line a file, the failures in full, the slowest tests. */
import { relative } from "node:path";
import { inspect, stripVTControlCharacters } from "node:util";

/** The parts of node:test's events that are used here. */
export interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name?: string;
    readonly file?: string;
    readonly nesting?: number;
    readonly message?: string;
    readonly skip?: string | boolean;
    readonly details?: { readonly type?: string; readonly duration_ms?: number; readonly error?: unknown };
    readonly counts?: { readonly passed: number; readonly failed: number; readonly cancelled: number };
    readonly duration_ms?: number;
  };
}

export interface TestReport {
  add(event: TestEvent): void;
  readonly passed: number;
  readonly failed: number;
  /** The files that are being run. */
  running(): readonly string[];
  /** The slowest tests and their seconds. */
  slowest(): readonly string[];
}

const SLOWEST = 8;
const OUTPUT_KEPT = 8_000;

export function createTestReport(root: string, write: (text: string) => void): TestReport {
  const path: string[] = [];
  const times: { readonly name: string; readonly ms: number }[] = [];
  const output = new Map<string, string>();
  const running = new Set<string>();
  let passed = 0;
  let failed = 0;

  const short = (file: string | undefined) => (file ? relative(root, file) : "(no file)");

  function writeOutput(file: string) {
    const said = output.get(file);
    if (said) write(`${indent(`output of ${short(file)}:\n${stripVTControlCharacters(said)}`)}\n`);
    output.delete(file);
  }

  /** node:test reports a file as a test of its own only when its process failed. */
  function onFileFailure(file: string, error: unknown) {
    write(`\n✖ ${short(file)}: ${firstLine(error)}\n`);
    writeOutput(file);
  }

  function onResult({ type, data }: TestEvent) {
    const { file = "", name = "", nesting = 0, details } = data;
    const full = [short(file), ...path.slice(0, nesting), name].join(" › ");
    path.length = nesting;
    if (details?.type !== "suite") times.push({ name: full, ms: details?.duration_ms ?? 0 });
    if (data.skip) write(`- ${full}: skipped${typeof data.skip === "string" ? `, ${data.skip}` : ""}\n`);
    // A suite that failed only because of its tests would repeat their errors.
    if (type === "test:fail" && !isFailureOfSubtests(details?.error))
      write(`\n✖ ${full}\n${indent(describe(details?.error))}\n\n`);
  }

  function onFileSummary(file: string, { counts, duration_ms }: TestEvent["data"]) {
    const bad = (counts?.failed ?? 0) + (counts?.cancelled ?? 0);
    if (bad > 0) writeOutput(file);
    output.delete(file);
    const outcome = `${counts?.passed ?? 0} passed${bad > 0 ? `, ${bad} failed` : ""}`;
    write(`${bad > 0 ? "✖" : "✔"} ${short(file)}: ${outcome} (${((duration_ms ?? 0) / 1000).toFixed(1)} s)\n`);
  }

  return {
    add(event) {
      const { type, data } = event;
      const { file = "" } = data;
      const isFile = data.name !== undefined && data.name === data.file;
      if (type === "test:dequeue" && isFile) running.add(file);
      else if (type === "test:complete" && isFile) running.delete(file);
      else if (type === "test:start") path[data.nesting ?? 0] = data.name ?? "";
      else if (type === "test:fail" && isFile) onFileFailure(file, data.details?.error);
      else if (type === "test:pass" || type === "test:fail") onResult(event);
      else if (type === "test:stdout" || type === "test:stderr")
        output.set(file, ((output.get(file) ?? "") + data.message).slice(-OUTPUT_KEPT));
      else if (type === "test:summary" && data.file !== undefined) onFileSummary(file, data);
      else if (type === "test:summary" && data.counts) {
        passed += data.counts.passed;
        failed += data.counts.failed + data.counts.cancelled;
      }
    },
    get passed() {
      return passed;
    },
    get failed() {
      return failed;
    },
    running: () => [...running].map(short),
    slowest: () =>
      times
        .toSorted((a, b) => b.ms - a.ms)
        .slice(0, SLOWEST)
        .map(({ name, ms }) => `${(ms / 1000).toFixed(1).padStart(7)} s  ${name}`),
  };
}

function isFailureOfSubtests(error: unknown): boolean {
  return (
    typeof error === "object" && error !== null && "failureType" in error && error.failureType === "subtestsFailed"
  );
}

function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error;
}

function firstLine(error: unknown): string {
  const cause = causeOf(error);
  return (cause instanceof Error ? cause.message : String(cause)).split("\n")[0] ?? "";
}

function describe(error: unknown): string {
  const cause = causeOf(error);
  return stripVTControlCharacters(isSuppressed(cause) ? describeBoth(cause) : stackOf(cause));
}

interface Suppressed extends Error {
  readonly error: unknown;
  readonly suppressed: unknown;
}

/** What crossed from the process of a test has lost its class. */
function isSuppressed(error: unknown): error is Suppressed {
  return error instanceof Error && error.name === "SuppressedError" && "error" in error && "suppressed" in error;
}

/** What went wrong first, and then what cleaning up after it met. */
function describeBoth({ error, suppressed }: Suppressed): string {
  return `${describe(suppressed)}\nand then, while cleaning up:\n${indent(describe(error))}`;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : inspect(error);
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, "    ");
}
