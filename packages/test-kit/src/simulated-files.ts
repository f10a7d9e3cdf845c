/** Files of simulated guests, in a folder of this machine: `<root>/<guest>` stands for `/` of each. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, createWriteStream, type Stats } from "node:fs";
import { lstat, mkdir, readdir, readlink, rename, rm, rmdir, stat, unlink, utimes } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { AppError, type ErrorCode } from "@mags/core";
import type { FromGuest, GuestEntry, GuestFileInfo, GuestFiles, GuestFileType, GuestId } from "@mags/domain";

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "file_not_found",
  ENOTDIR: "file_not_found",
  EISDIR: "file_conflict",
  EEXIST: "file_conflict",
  ENOTEMPTY: "file_conflict",
};

/** @param check  Throws when the guest does not run. */
export function createSimulatedFiles(root: string, check: (guest: GuestId) => void): GuestFiles {
  const here = (guest: GuestId, path: Buffer) => {
    check(guest);
    if (path.length === 0 || path.includes(0)) throw new AppError("validation_failed", "path: is empty");
    return Buffer.concat([Buffer.from(`${root}/${guest}${path[0] === 0x2f ? "" : "/root/"}`), path]);
  };
  return {
    stat: (guest, { path, follow }) => explained(async () => infoOf(here(guest, path), follow)),
    read: (guest, { path, offset, length }, { signal }) =>
      explained(async () => {
        const at = here(guest, path);
        if ((await stat(at)).isDirectory()) throw new AppError("file_conflict", "it is a folder");
        const end = length === null ? Number.POSITIVE_INFINITY : offset + length - 1;
        return length === 0 ? bytesOf([]) : bytesOf(createReadStream(at, { start: offset, end, signal }));
      }),
    write: (guest, file, source, { signal }) =>
      explained(async () => {
        const at = here(guest, file.path);
        const { parent } = splitPath(at);
        if (file.parents) await mkdir(parent, { recursive: true });
        if (file.exclusive && (await lstat(at).catch(() => null)))
          throw new AppError("file_conflict", "it exists already");
        const part = Buffer.concat([at, Buffer.from(".part")]);
        try {
          const writer = createWriteStream(part, { mode: file.mode ?? 0o644 });
          await pipeline(source, writer, { signal });
          if (file.mtimeMs !== null) await utimes(part, file.mtimeMs / 1000, file.mtimeMs / 1000);
          await rename(part, at);
          return writer.bytesWritten;
        } catch (error) {
          await rm(part, { force: true });
          throw error;
        }
      }),
    list: (guest, { path }) =>
      explained(async () => {
        const at = here(guest, path);
        if (!(await stat(at)).isDirectory()) throw new AppError("file_not_found", "it is no folder");
        return entriesOf(at);
      }),
    remove: (guest, { path, recursive }) =>
      explained(async () => {
        const at = here(guest, path);
        if (recursive) await rm(at, { recursive });
        else if ((await lstat(at)).isDirectory()) await rmdir(at);
        else await unlink(at);
      }),
    rename: (guest, { path, to, replace }) =>
      explained(async () => {
        const target = here(guest, to);
        if (!replace && (await lstat(target).catch(() => null)))
          throw new AppError("file_conflict", "it exists already");
        await rename(here(guest, path), target);
      }),
    makeDirectory: (guest, { path, parents, mode }) =>
      explained(async () => {
        await mkdir(here(guest, path), { recursive: parents, mode: mode ?? 0o755 });
      }),
    pack: (guest, { path }) =>
      explained(async () => {
        const at = here(guest, path);
        if (!(await stat(at)).isDirectory()) throw new AppError("file_conflict", "it is no folder");
        return bytesOf(spawn("tar", ["-c", "-f", "-", "."], { cwd: at.toString() }).stdout);
      }),
    unpack: (guest, { path }, source, { signal }) =>
      explained(async () => {
        const at = here(guest, path);
        await mkdir(at, { recursive: true });
        const tar = spawn("tar", ["-x", "-f", "-", "-o"], { cwd: at.toString(), stdio: ["pipe", "ignore", "ignore"] });
        const closed = once(tar, "close");
        await pipeline(source, tar.stdin, { signal });
        const [code] = await closed;
        if (code !== 0) throw new AppError("file_conflict", `tar ended with ${code}`);
      }),
  };
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = CODES[(error as NodeJS.ErrnoException).code ?? ""];
    throw code ? new AppError(code, String((error as Error).message), { cause: error }) : error;
  }
}

function splitPath(path: Buffer): { readonly parent: Buffer } {
  return { parent: path.subarray(0, path.lastIndexOf(0x2f)) };
}

async function* bytesOf(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): FromGuest<Uint8Array> {
  yield* source;
}

async function* entriesOf(path: Buffer): FromGuest<readonly GuestEntry[]> {
  for (const name of await readdir(path, { encoding: "buffer" }))
    yield [{ name, ...(await infoOf(Buffer.concat([path, Buffer.from("/"), name]), false)) }];
}

async function infoOf(path: Buffer, follow: boolean): Promise<GuestFileInfo> {
  const found = await (follow ? stat(path) : lstat(path));
  const { mode, size, mtimeMs, uid, gid } = found;
  const target = found.isSymbolicLink() ? await readlink(path, { encoding: "buffer" }) : null;
  return { type: typeOf(found), mode: mode & 0o7777, sizeBytes: size, mtimeMs, uid, gid, target };
}

function typeOf(found: Stats): GuestFileType {
  if (found.isFile()) return "file";
  if (found.isDirectory()) return "directory";
  if (found.isSymbolicLink()) return "symlink";
  if (found.isFIFO()) return "fifo";
  return found.isSocket() ? "socket" : "unknown";
}
