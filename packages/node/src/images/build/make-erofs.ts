/** Makes the disk of an image: erofs, by `mkfs.erofs` of the runtime root, jailed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdir } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { AppError, messageOf } from "@mags/core";
import { launchCommand, type RuntimeRoot } from "@mags/runtime-root";

/** The same for all: the same files give the same image. */
const UUID = "6d616773-0000-4000-8000-000000000003";
const BUILD_TIME = 1_767_225_600;

/**
 * @param directory  Is made, and then belongs to `uid`; holds `base.erofs` afterwards.
 * @throws AppError `unavailable` with the tool's own words.
 */
export async function makeErofs(
  deps: { readonly runtime: RuntimeRoot; readonly uid: number },
  archive: AsyncIterable<Buffer>,
  { directory }: { readonly directory: string },
): Promise<void> {
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
  try {
    const [fed] = await Promise.allSettled([pipeline(archive, child.stdin)]);
    if (fed.status === "rejected" && !isBrokenPipe(fed.reason)) throw fed.reason;
    const [code, signal] = await ended;
    if (code === 0 && fed.status === "fulfilled") return;
    const reason = errors.trim() || signal || (fed.status === "rejected" ? messageOf(fed.reason) : `exit code ${code}`);
    throw new AppError("unavailable", `mkfs.erofs could not make the image: ${reason}`);
  } finally {
    child.kill("SIGKILL");
    await ended.catch(() => {});
  }
}

/** The tool ended early: what it says is the reason. */
function isBrokenPipe(error: unknown): boolean {
  return ["EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET"].includes((error as NodeJS.ErrnoException).code ?? "");
}
