/** A folder of this machine as a tar archive, made while it is read. Names are bytes: strings here hold one a character. */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import { END_OF_ARCHIVE, headerBytes, padding, type WrittenEntry } from "@mags/tar";

export interface PackOptions {
  /** The folder itself is in it, with its mode and time. */
  readonly whole: boolean;
  /** Told of what is left out, and why. */
  readonly onSkip: (path: string, why: string) => void;
}

const PIECE_BYTES = 256 * 1024;
/** Headers are small and many. */
const GATHER_BYTES = 64 * 1024;
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

export async function* packTree(folder: string, options: PackOptions): AsyncGenerator<Uint8Array, void, void> {
  let gathered: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces(Buffer.from(folder), options)) {
    gathered.push(piece);
    bytes += piece.length;
    if (bytes < GATHER_BYTES) continue;
    yield Buffer.concat(gathered);
    gathered = [];
    bytes = 0;
  }
  yield Buffer.concat([...gathered, END_OF_ARCHIVE]);
}

async function* pieces(folder: Buffer, { whole, onSkip }: PackOptions): AsyncGenerator<Buffer, void, void> {
  /** First names of files that have several. */
  const seen = new Map<string, string>();
  const place = (path: string) => Buffer.concat([folder, Buffer.from(`/${path}`, "latin1")]);
  const skip = (path: string, error: unknown) => onSkip(Buffer.from(path, "latin1").toString(), reasonOf(error));
  const todo = ["."];
  for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
    try {
      yield* one(path);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      skip(path, error.cause);
    }
  }

  async function* one(path: string): AsyncGenerator<Buffer, void, void> {
    const found = await reading(lstat(place(path)));
    const { mode, mtimeMs, nlink, dev, ino } = found;
    const entry = {
      ...{ path, linkPath: "", mode: mode & 0o7777, uid: 0, gid: 0, size: 0, xattrs: NO_XATTRS },
      mtime: Math.max(0, Math.floor(mtimeMs / 1000)),
    };
    const header = (more: Partial<WrittenEntry> & Pick<WrittenEntry, "type">) =>
      headerBytes({ ...entry, ...more }, "gnu");
    if (found.isDirectory()) {
      const names = await reading(readdir(place(path), { encoding: "buffer" }));
      if (path !== "." || whole) yield header({ type: "directory", path: `${path}/` });
      for (const name of names.reverse()) todo.push(`${path}/${name.toString("latin1")}`);
    } else if (found.isSymbolicLink()) {
      const target = await reading(readlink(place(path), { encoding: "buffer" }));
      yield header({ type: "symlink", linkPath: target.toString("latin1") });
    } else if (found.isFile()) {
      const key = `${dev}:${ino}`;
      const first = nlink > 1 ? seen.get(key) : undefined;
      if (first !== undefined) yield header({ type: "link", linkPath: first });
      else yield* file(path, header);
      if (nlink > 1 && first === undefined) seen.set(key, path);
    } else {
      onSkip(Buffer.from(path, "latin1").toString(), "it is no file, folder or link");
    }
  }

  async function* file(
    path: string,
    header: (more: Partial<WrittenEntry> & Pick<WrittenEntry, "type">) => Buffer,
  ): AsyncGenerator<Buffer, void, void> {
    const handle = await reading(open(place(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
    try {
      const { size } = await handle.stat();
      yield header({ type: "file", size });
      let left = size;
      for (; left > 0; ) {
        const piece = await readPiece(handle, left);
        if (piece.length === 0) break;
        left -= piece.length;
        yield piece;
      }
      if (left > 0) skip(path, new Error("it became shorter while it was read"));
      for (; left > 0; left -= PIECE_BYTES) yield Buffer.alloc(Math.min(left, PIECE_BYTES));
      yield padding(size);
    } finally {
      await handle.close();
    }
  }
}

async function readPiece(handle: FileHandle, most: number): Promise<Buffer> {
  const piece = Buffer.allocUnsafe(Math.min(most, PIECE_BYTES));
  const { bytesRead } = await handle.read(piece, 0, piece.length);
  return piece.subarray(0, bytesRead);
}

/** Of one file or folder: the others go on. */
class Unreadable extends Error {}

function reading<T>(promise: Promise<T>): Promise<T> {
  return promise.catch((cause: unknown) => {
    throw new Unreadable("unreadable", { cause });
  });
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EPERM") return "it may not be read";
  return code === "ENOENT" ? "it is gone" : message;
}
