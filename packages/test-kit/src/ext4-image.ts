/** Makes ext4 file systems in files, and changes them, with e2fsprogs of the runtime root: nothing is mounted. */
import { execFile } from "node:child_process";
import { rm, truncate, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { toolCommand } from "@mags/runtime-root";
import { findArtifacts } from "./artifacts.ts";

const run = promisify(execFile);
const DEADLINE_MS = 60_000;

async function tool(name: string, ...args: string[]): Promise<string> {
  const { runtime: dir, launcher } = findArtifacts();
  const { file, args: all } = toolCommand({ dir, launcher }, `/usr/sbin/${name}`, args);
  // With SOURCE_DATE_EPOCH no time is later than that.
  const { SOURCE_DATE_EPOCH: _, ...inherited } = process.env;
  const env = { ...inherited, MKE2FS_CONFIG: `${dir}/etc/mke2fs.conf` };
  const { stdout, stderr } = await run(file, [...all], { timeout: DEADLINE_MS, env, maxBuffer: 64 << 20 });
  return stdout + stderr;
}

/** @param from  A folder of the host that it begins with: mke2fs takes over owners, modes, seconds of times, attributes. */
export async function makeExt4Image(
  file: string,
  options: {
    readonly sizeMiB: number;
    readonly from?: string;
    readonly blockBytes?: number;
    readonly features?: string;
    readonly inodes?: number;
  },
): Promise<void> {
  const { sizeMiB, from, blockBytes = 4096, features, inodes } = options;
  await writeFile(file, "");
  await truncate(file, sizeMiB << 20);
  const more = [
    ...(from === undefined ? [] : ["-d", from]),
    ...(features === undefined ? [] : ["-O", features]),
    ...(inodes === undefined ? [] : ["-N", String(inodes)]),
  ];
  await tool("mke2fs", "-q", "-F", "-t", "ext4", "-b", String(blockBytes), "-m", "0", ...more, file);
}

/** Runs commands of debugfs, which may write. @throws if one of them failed. @returns what it printed. */
export async function debugfs(file: string, ...commands: string[]): Promise<string> {
  const script = `${file}.commands`;
  await writeFile(script, `${commands.join("\n")}\n`);
  const text = await tool("debugfs", "-w", "-f", script, file);
  await rm(script);
  const failed = /^[a-z_]+: .*(not found|No such|error|Usage)/im.exec(text);
  if (failed) throw new Error(`debugfs: ${failed[0]}`);
  return text;
}

/** Replays the journal, as the kernel does when it mounts. */
export function replayJournal(file: string): Promise<string> {
  return tool("e2fsck", "-E", "journal_only", "-y", file);
}
