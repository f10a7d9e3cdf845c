import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { clientError } from "./errors.ts";

export interface ConfigFile {
  readonly path: string;
  readonly apiToken: string | undefined;
  readonly apiUrl: string | undefined;
  /** Others than the owner may read it. */
  readonly exposed: boolean;
  /** Everything in it, keys of other versions included. */
  readonly entries: Readonly<Record<string, unknown>>;
}

export function configPath(home: string): string {
  return join(home, ".mags", "config.json");
}

/**
 * Reads `~/.mags/config.json`; a file that does not exist has no entries.
 * @throws MagsError `invalid_argument` when it cannot be read or is not a JSON object.
 */
export function readConfigFile(path: string): ConfigFile {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(path, "utf8");
    mode = statSync(path).mode;
  } catch (error) {
    if (isMissing(error)) return { path, apiToken: undefined, apiUrl: undefined, exposed: false, entries: {} };
    throw clientError("invalid_argument", `cannot read ${path}: ${(error as Error).message}`, error);
  }
  const entries = parseObject(text, path);
  return {
    path,
    apiToken: optionalText(entries, "api_token", path),
    apiUrl: optionalText(entries, "api_url", path),
    exposed: (mode & 0o077) !== 0,
    entries,
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

function parseObject(text: string, path: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw clientError("invalid_argument", `${path} is not valid JSON: correct it, or delete it and sign in`, error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw clientError("invalid_argument", `${path} must hold a JSON object: correct it, or delete it and sign in`);
  return value as Record<string, unknown>;
}

function optionalText(entries: Readonly<Record<string, unknown>>, key: string, path: string): string | undefined {
  const value = entries[key];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw clientError("invalid_argument", `${path}: ${key} must be a string`);
  return value;
}
