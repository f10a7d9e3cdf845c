/** Makes the disk of an image: erofs, by `mkfs.erofs` of the runtime root, jailed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir, open, statfs } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { AppError, messageOf } from "@mags/core";
import { launchCommand, type RuntimeRoot } from "@mags/runtime-root";

/** The same for all: the same files give the same image. */
const UUID = "6d616773-0000-4000-8000-000000000003";
const BUILD_TIME = 1_767_225_600;
const SUPERBLOCK_OFFSET = 1024;
const SUPERBLOCK_MAGIC = 0xe0f5e1e2;
const SUPERBLOCK_INODES = 16;
/** With less than this left, a disk was full a moment ago. */
const FULL_DISK_BYTES = 1024 ** 2;

/**
 * @param directory  Is made, and then belongs to `uid`; holds `base.erofs` afterwards.
 * @param inodes  How many files and folders the archive has. The tool does not always see that it could not store one,
 * and then takes the middle of a file for the next header: zeros there would end the image early, unseen.
 * @param signal  Kills the tool. It is gone when this rejects.
 * @throws AppError `unavailable` with the tool's own words, or that the disk is full.
 */
export async function makeErofs(
  deps: { readonly runtime: RuntimeRoot; readonly uid: number },
  archive: AsyncIterable<Buffer>,
  {
    directory,
    inodes,
    signal: abort,
  }: { readonly directory: string; readonly inodes: number; readonly signal: AbortSignal },
): Promise<void> {
  abort.throwIfAborted();
  await mkdir(directory, { mode: 0o700 });
  await chown(directory, deps.uid, deps.uid);
  const command = launchCommand(deps.runtime, {
    program: "/usr/bin/mkfs.erofs",
    args: ["-zlz4", `-T${BUILD_TIME}`, "--mkfs-time", "-U", UUID, "-L", "mags", "--quiet", "--tar=f", "/vm/base.erofs"],
    binds: [{ source: directory, target: "/vm", readOnly: false }],
    uid: deps.uid,
    gid: deps.uid,
    env: { TMPDIR: "/vm" },
  });
  const child = spawn(command.file, [...command.args], { stdio: ["pipe", "ignore", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-1000);
  });
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  ended.catch(() => {}); // awaited below
  const kill = () => void child.kill("SIGKILL");
  abort.addEventListener("abort", kill);
  try {
    const [fed] = await Promise.allSettled([pipeline(archive, child.stdin)]);
    if (fed.status === "rejected" && !isBrokenPipe(fed.reason)) throw fed.reason;
    const [code, signal] = await ended;
    if (code === 0 && fed.status === "fulfilled") return await checkInodes(join(directory, "base.erofs"), inodes);
    const { bavail, bsize } = await statfs(directory);
    if (bavail * bsize < FULL_DISK_BYTES) throw Object.assign(new Error("the disk is full"), { code: "ENOSPC" });
    const reason = errors.trim() || signal || (fed.status === "rejected" ? messageOf(fed.reason) : `exit code ${code}`);
    throw new AppError("unavailable", `mkfs.erofs could not make the image: ${reason}`);
  } finally {
    abort.removeEventListener("abort", kill);
    kill();
    await ended.catch(() => {});
  }
}

/** The tool ended early: what it says is the reason. */
function isBrokenPipe(error: unknown): boolean {
  return ["EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET"].includes((error as NodeJS.ErrnoException).code ?? "");
}

async function checkInodes(path: string, expected: number): Promise<void> {
  await using file = await open(path, "r");
  const superblock = Buffer.alloc(SUPERBLOCK_INODES + 8);
  await file.read(superblock, 0, superblock.length, SUPERBLOCK_OFFSET);
  const inodes = superblock.readBigUInt64LE(SUPERBLOCK_INODES);
  if (superblock.readUInt32LE(0) !== SUPERBLOCK_MAGIC || inodes !== BigInt(expected))
    throw new AppError("unavailable", `mkfs.erofs stored ${inodes} of ${expected} files: is the disk full?`);
}
