import { InvalidArgumentError } from "commander";
import type { RunOptions } from "../sdk/run-options.ts";
import type { Environment } from "../sdk/settings.ts";

/** A whole number of at least 1. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || !Number.isSafeInteger(value))
    throw new InvalidArgumentError("It must be a whole number, 1 or more.");
  return value;
}

export function portNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > 65_535)
    throw new InvalidArgumentError("It must be the number of a port, 1 to 65535.");
  return value;
}

const SPAN_UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90s`, `30m`, `2h`, `7d`, in seconds. */
export function span(text: string): number {
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const value = Number(count) * (SPAN_UNITS[unit] ?? Number.NaN);
  if (!(value >= 1) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError("It must be a time like 90s, 30m, 2h or 7d.");
  return value;
}

/** A positive number of seconds, in milliseconds. */
export function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || value <= 0)
    throw new InvalidArgumentError("It must be a number of seconds, more than 0.");
  return value * 1000;
}

export type Assignments = Readonly<Record<string, string>>;

/** Collects `KEY=VALUE`; a bare `KEY` takes the value it has here. */
export function environmentEntry(env: Environment): (text: string, previous?: Assignments) => Assignments {
  return (text, previous = {}) => {
    const [key, given] = split(text);
    const value = given ?? env[key];
    if (value === undefined)
      throw new InvalidArgumentError(`There is no variable ${key} here; give its value: ${key}=VALUE.`);
    return { ...previous, [key]: value };
  };
}

/** Collects `KEY=VALUE`. */
export function label(text: string, previous: Assignments = {}): Assignments {
  const [key, value] = split(text);
  if (value === undefined) throw new InvalidArgumentError("It must be KEY=VALUE.");
  return { ...previous, [key]: value };
}

/** `filtered`, `none`, or host names with commas between them. */
export function egressPolicy(text: string): NonNullable<RunOptions["egress"]> {
  if (text === "filtered" || text === "none") return text;
  const allow = text.split(",").map((host) => host.trim());
  if (allow.includes("")) throw new InvalidArgumentError("It must be filtered, none, or host names: host,*.host,...");
  return { allow };
}

function split(text: string): [string, string | undefined] {
  const at = text.indexOf("=");
  const key = at < 0 ? text : text.slice(0, at);
  if (key === "") throw new InvalidArgumentError("It must be KEY=VALUE.");
  return [key, at < 0 ? undefined : text.slice(at + 1)];
}

/** Of an option that may be given several times. */
export function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value];
}
