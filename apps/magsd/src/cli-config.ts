import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { AppError } from "@mags/core";
import { DEFAULT_API_URL } from "./config.ts";

/** `~/.mags/config.json`, as far as it concerns the server. */
export interface CliConfig {
  readonly path: string;
  /** Everything in it. */
  readonly entries: Readonly<Record<string, unknown>>;
  /** The server that it means: without an address the one on this machine. */
  readonly apiUrl: string;
  readonly apiToken: string;
}

/**
 * The configuration of the user who runs this; a file that does not exist has no entries.
 * @throws AppError `validation_failed` when it is no JSON object: it may hold what somebody still needs.
 */
export async function readCliConfig(): Promise<CliConfig> {
  const path = join(homedir(), ".mags", "config.json");
  const entries = await readEntries(path);
  const text = (key: string) => (typeof entries[key] === "string" ? entries[key] : "");
  return { path, entries, apiUrl: text("api_url") || DEFAULT_API_URL, apiToken: text("api_token") };
}

async function readEntries(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new AppError("validation_failed", `${path} is not a JSON object; move it away and run this again`);
}
