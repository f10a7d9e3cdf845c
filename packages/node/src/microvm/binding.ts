/**
 * Which job a microVM belongs to. On the way of every start, so it is one write into a file that exists, and one sync: the
 * file is made full of zeros beforehand. A checksum tells a whole binding from a torn one, which binds nothing, as its
 * script was not sent yet.
 */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { JobId, MicroVmSize, SandboxId } from "@mags/domain";

/** Of what is stored; without one it is the first. That of a sandbox must not be taken for a job's. */
const VERSION = 2;
const JOB_VERSION = 1;

export interface Binding {
  readonly jobId: JobId;
  /** The sandbox whose microVM it is; that job was its last when it woke. */
  readonly sandboxId?: SandboxId;
  readonly size: MicroVmSize;
  readonly boundAtMs: number;
  /** Milliseconds since boot: what is left of a time-out is counted from here. */
  readonly boundAtBootMs: number;
  readonly timeoutMs: number | null;
}

const FILE_BYTES = 4096;
const HEADER_BYTES = 8;

/** Makes the file. The caller owns the handle. */
export async function prepareBinding(path: string): Promise<FileHandle> {
  const file = await open(path, "wx+", 0o600);
  try {
    await file.write(Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, 0);
    await file.sync();
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** On stable storage when this resolves. */
export async function writeBinding(file: FileHandle, binding: Binding): Promise<void> {
  const text = Buffer.from(JSON.stringify({ version: binding.sandboxId ? VERSION : JOB_VERSION, ...binding }));
  const content = Buffer.alloc(HEADER_BYTES + text.length);
  content.writeUInt32LE(text.length, 0);
  content.writeUInt32LE(crc32(text), 4);
  text.copy(content, HEADER_BYTES);
  await file.write(content, 0, content.length, 0);
  await file.datasync();
}

/** Takes a binding back: nothing was asked of the guest. On stable storage when this resolves. */
export async function clearBinding(file: FileHandle): Promise<void> {
  await file.write(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
  await file.datasync();
}

/** @returns null when nothing is bound, `newer` when it is of a version that this one does not know. */
export async function readBinding(path: string): Promise<Binding | null | "newer"> {
  const content = await readFile(path).catch(() => Buffer.alloc(0));
  if (content.length < HEADER_BYTES) return null;
  const length = content.readUInt32LE(0);
  const text = content.subarray(HEADER_BYTES, HEADER_BYTES + length);
  if (length === 0 || text.length !== length || crc32(text) !== content.readUInt32LE(4)) return null;
  const { version = JOB_VERSION, ...binding } = JSON.parse(text.toString()) as Binding & { readonly version?: number };
  return version > VERSION ? "newer" : binding;
}
