/**
 * What a microVM's QEMU may write on the host: files that belong to it, in directories that do not. It can neither make
 * nor replace anything there that root opens by name.
 */
import { chmod, chown, link, mkdir, open } from "node:fs/promises";

/** The directory that the microVM sees as /vm: `uid` may reach the files in there, not list or change it. */
export async function makeJailDirectory(path: string, uid: number): Promise<void> {
  await mkdir(path);
  await chown(path, 0, uid);
  await chmod(path, 0o710);
}

/** An empty file for `uid` to write, in a directory that is root's. */
export async function makeFileFor(uid: number, path: string): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.chown(uid, uid);
}

/** A second name for a file, in a directory that is root's, which `uid` may write from now on. */
export async function linkFileFor(uid: number, source: string, path: string): Promise<void> {
  await link(source, path);
  await chown(path, uid, uid);
}
