import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Replaces the config file in one step; readable by the owner only, like its folder.
 * No entries: the file is removed.
 */
export function saveConfig(path: string, entries: Readonly<Record<string, unknown>>): void {
  if (Object.keys(entries).length === 0) {
    rmSync(path, { force: true });
    return;
  }
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const draft = `${path}.${process.pid}`;
  try {
    writeFileSync(draft, `${JSON.stringify(entries, null, 2)}\n`, { mode: 0o600, flag: "wx" });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}
