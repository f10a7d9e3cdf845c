/**
 * Writes a tar archive into a folder of this machine. The archive comes from a VM, which may be hostile: nothing is
 * written outside of the folder, whatever names and links it holds, and nothing through a link. Names are bytes: strings
 * here hold one a character.
 */
import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { chmod, link, lstat, lutimes, mkdir, open, rename, rm, symlink, unlink, utimes } from "node:fs/promises";
import { readTarStream, type TarHeader } from "@mags/tar";
import { Failure } from "../failure.ts";

export interface UnpackOptions {
  /** The folder itself takes mode and time of the one in the archive. */
  readonly whole: boolean;
  /** Told of what is left out, and why. */
  readonly onSkip: (path: string, why: string) => void;
}

/** Those that make a program act as its owner are not taken over: its owner would be whoever copies. */
const KEPT_MODE = 0o777;
/** Of folders until all is in them. */
const OWN_FOLDER_MODE = 0o700;

/** @param folder  Made if it is missing; a link to a folder is followed. */
export async function unpackTree(
  archive: AsyncIterable<Uint8Array>,
  folder: string,
  { whole, onSkip }: UnpackOptions,
): Promise<void> {
  const root = Buffer.from(folder);
  await mkdir(folder, { recursive: true });
  /** Folders known to be such and no links. What is a folder never becomes anything else here. */
  const real = new Set<string>([""]);
  const folders: { readonly path: string; readonly entry: TarHeader }[] = [];
  const place = (path: string) => (path === "" ? root : Buffer.concat([root, Buffer.from(`/${path}`, "latin1")]));

  for await (const { entry, content } of readTarStream(archive)) {
    const path = safePath(entry.path);
    if (entry.type === "fifo" || entry.type === "device") {
      onSkip(shownPath(path), "it is no file, folder or link");
      continue;
    }
    if (path === "" && entry.type !== "directory") throw hostile(`has no name`);
    await enter(parentOf(path), { make: true });
    if (entry.type === "directory") {
      await enter(path, { make: true });
      if (path !== "" || whole) folders.push({ path, entry });
    } else if (entry.type === "file") {
      await writeFile(path, entry, content);
    } else {
      await writeLink(path, entry);
    }
  }
  // Innermost first: some cannot be written to afterwards, and what is made in a folder changes its time.
  for (const { path, entry } of folders.reverse()) {
    await utimes(place(path), entry.mtime, entry.mtime);
    await chmod(place(path), entry.mode & KEPT_MODE);
  }

  /** Makes sure that a folder, and all above it, is one and no link. */
  async function enter(path: string, { make }: { readonly make: boolean }): Promise<void> {
    if (real.has(path)) return;
    await enter(parentOf(path), { make });
    const found = await look(path);
    if (!found && make) await mkdir(place(path), { mode: OWN_FOLDER_MODE });
    else if (!found?.isDirectory()) throw inTheWay(path);
    else if (make && (found.mode & OWN_FOLDER_MODE) !== OWN_FOLDER_MODE) await chmod(place(path), OWN_FOLDER_MODE);
    real.add(path);
  }

  async function look(path: string): Promise<Stats | null> {
    return lstat(place(path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    });
  }

  /** Into a file of its own that then takes the place: what is there is neither changed nor followed. */
  async function writeFile(path: string, entry: TarHeader, content: AsyncIterable<Buffer>): Promise<void> {
    if ((await look(path))?.isDirectory()) throw inTheWay(path);
    const part = place(`${parentOf(path)}/.mags-${randomBytes(6).toString("hex")}`.replace(/^\//, ""));
    try {
      const file = await open(part, "wx", 0o600);
      try {
        for await (const piece of content)
          for (let done = 0; done < piece.length; ) done += (await file.write(piece, done)).bytesWritten;
        await file.chmod(entry.mode & KEPT_MODE);
        await file.utimes(entry.mtime, entry.mtime);
      } finally {
        await file.close();
      }
      await rename(part, place(path));
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }

  async function writeLink(path: string, entry: TarHeader): Promise<void> {
    const linkPath = entry.type === "link" ? safePath(entry.linkPath) : "";
    if (entry.type === "link" && linkPath === path) return;
    const found = await look(path);
    if (found?.isDirectory()) throw inTheWay(path);
    if (entry.type === "link") {
      await enter(parentOf(linkPath), { make: false });
      if (!(await look(linkPath))?.isFile()) throw hostile(`links to ${shownPath(linkPath)}, which is no file`);
    }
    if (found) await unlink(place(path));
    if (entry.type === "link") {
      await link(place(linkPath), place(path));
    } else {
      await symlink(Buffer.from(entry.linkPath, "latin1"), place(path));
      await lutimes(place(path), entry.mtime, entry.mtime);
    }
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Below the folder, without `.`. @throws Failure for what leads out of it. */
function safePath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") || parts.includes("..") || path.includes("\0"))
    throw hostile(`holds the path ${shownPath(path)}, which leads out of the folder`);
  return parts.join("/");
}

function shownPath(path: string): string {
  return JSON.stringify(Buffer.from(path, "latin1").toString());
}

function hostile(what: string): Failure {
  return new Failure(`the archive that the VM sent ${what}: the copy was ended`);
}

function inTheWay(path: string): Failure {
  return new Failure(`cannot write ${shownPath(path)}: something of another kind is in its way`);
}
