/** A copy of this machine to install on: what happens there stays in memory and ends with it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { lstat, readdir, readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { createInterface } from "node:readline";
import { type RunOptions, type RunResult, run } from "./run.ts";

export const REPOSITORY = resolve(import.meta.dirname, "../..");
const STORE = process.env.MAGS_STORE ?? "/var/cache/mags";

export interface ScratchMachine extends AsyncDisposable {
  /** Runs a shell command there as root, in the root folder of this repository's copy. */
  run(command: string, options?: RunOptions): Promise<RunResult>;
  /** Files and folders that were made there and not removed again, as absolute paths. */
  written(): Promise<string[]>;
}

/** Ends, with all that runs in it, also when this process dies. */
export async function startScratchMachine(): Promise<ScratchMachine> {
  const script = join(import.meta.dirname, "scratch-machine.sh");
  const unshare = spawn(
    "unshare",
    ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", script, REPOSITORY, STORE],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const ended = once(unshare, "exit");
  const lines = createInterface({ input: unshare.stdout });
  const [top] = (await Promise.race([once(lines, "line"), ended])) as [unknown];
  assert.ok(typeof top === "string" && top.startsWith("/"), "the scratch machine could not be made");
  const init = (await readFile(`/proc/${unshare.pid}/task/${unshare.pid}/children`, "utf8")).trim();

  return {
    run: (command, options = {}) =>
      run(
        "nsenter",
        ["--target", init, "--mount", "--pid", "chroot", join(top, "root"), "sh", "-c", `cd ${REPOSITORY}; ${command}`],
        { ...options, env: { HOME: "/root", MAGS_STORE: STORE, ...options.env } },
      ),
    async written() {
      const seen = `/proc/${init}/root${top}`;
      const found: string[] = [];
      const visit = async (folder: string, below: string): Promise<void> => {
        for (const entry of await readdir(join(seen, folder), { withFileTypes: true })) {
          const path = join(folder, entry.name);
          const place = join(below, entry.name);
          if (entry.isCharacterDevice()) continue; // marks what was removed
          const known = await lstat(place).catch(() => null);
          if (!entry.isDirectory() || !known?.isDirectory()) found.push(place);
          if (entry.isDirectory()) await visit(path, place);
        }
      };
      const mounted = await mountedOverlays(init, top);
      for (const [upper, below] of mounted) await visit(upper, below);
      return found.toSorted();
    },
    async [Symbol.asyncDispose]() {
      unshare.stdin.end();
      await ended;
    },
  };
}

/** Name of each folder of changes, with the place whose changes it holds. */
async function mountedOverlays(init: string, top: string): Promise<[string, string][]> {
  const table = await readFile(`/proc/${init}/mounts`, "utf8");
  return table.split("\n").flatMap((line): [string, string][] => {
    const [, place = "", type, options = ""] = line.split(" ");
    const upper = new RegExp(`upperdir=${top}/(upper\\d*)`).exec(options)?.[1];
    return type === "overlay" && upper ? [[upper, `/${relative(join(top, "root"), place)}`]] : [];
  });
}
