/**
 * Makes the disk of an image from an archive that nobody vouches for. The archive is never unpacked on the host: its
 * table of contents is read, its layers are merged in memory, and one clean archive goes to `mkfs.erofs`, jailed.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chmod, chown, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { AppError, isAppError, messageOf } from "@mags/core";
import { badArchive, MAX_PATH_BYTES, shown } from "@mags/tar";
import { syncPath, writeFileDurably } from "../../host/files.ts";
import type { ImageDraft } from "../image.ts";
import { type ByteSource, bytesOf, fileSource } from "../tar/byte-source.ts";
import { readTar, type TarEntry, type TarLimits } from "../tar/reader.ts";
import { compressionOf, type DecompressDeps, decompress } from "./compression.ts";
import { checkDigest, findContainerImage } from "./container-archive.ts";
import { archiveOf } from "./emit.ts";
import { addMountPoints, readCaBundle, requireShell } from "./finish-tree.ts";
import { applyLayer } from "./layers.ts";
import { createByteBudget, createEntryLimits, type ImportLimits } from "./limits.ts";
import { makeErofs } from "./make-erofs.ts";
import { createDirectory, type Directory, type Leaf } from "./tree.ts";

export interface BuildOptions {
  /** The archive. */
  readonly file: string;
  /** An empty directory: holds `base.erofs`, the certificates and `draft.json` afterwards. The caller's to remove. */
  readonly directory: string;
  readonly limits: ImportLimits;
  readonly signal: AbortSignal;
}

/**
 * @throws AppError `validation_failed` that says what is wrong with the archive, `unavailable` when the host is short of
 * something; the signal's reason, when nothing is at work any more.
 */
export async function buildImage(deps: DecompressDeps, options: BuildOptions): Promise<ImageDraft> {
  try {
    return await build(deps, options);
  } catch (error) {
    options.signal.throwIfAborted(); // what ended by it has other words
    if (isAppError(error, "validation_failed"))
      throw new AppError("validation_failed", `${options.file} cannot be imported: ${error.message}`, { cause: error });
    if ((error as NodeJS.ErrnoException).code === "ENOSPC" || /No space left/.test(messageOf(error)))
      throw new AppError("unavailable", `no space is left on the disk of ${options.directory}`, { cause: error });
    throw error;
  }
}

async function build(deps: DecompressDeps, { file, directory, limits, signal }: BuildOptions): Promise<ImageDraft> {
  const work = join(directory, "work");
  await mkdir(work, { mode: 0o700 });
  await using opened = new AsyncDisposableStack();
  const entryLimits = createEntryLimits(limits);
  let unpacked = 0;

  async function openFile(path: string): Promise<ByteSource> {
    // Opening a pipe would wait for its other end.
    const handle = opened.use(await open(path, constants.O_RDONLY | constants.O_NONBLOCK));
    const stats = await handle.stat();
    if (!stats.isFile()) throw badArchive("it is not a file");
    return fileSource(handle, { offset: 0, length: stats.size, signal });
  }
  /** The source itself, or a file with what it holds compressed. */
  async function plain(source: ByteSource, budget = createByteBudget(limits)): Promise<ByteSource> {
    const compression = await compressionOf(source);
    if (compression === "none") return source;
    const target = join(work, `plain-${++unpacked}.tar`);
    await decompress(deps, source, { compression, target, budget, signal });
    return openFile(target);
  }

  const outer = await plain(await openArchive(file, openFile));
  const outerEntries = await entriesOf(outer, entryLimits);
  const container = await findContainerImage(outer, outerEntries);
  const root = createDirectory();
  const layers: ByteSource[] = [];
  let devicesLeftOut = 0;
  if (container) {
    const budget = createByteBudget(limits);
    for (const [layer, compressed] of container.layers.entries()) {
      const source = await plain(compressed, budget);
      const digest = container.plainDigests[layer];
      if (digest !== undefined) await checkDigest(source, digest);
      const entries = await entriesOf(source, entryLimits);
      devicesLeftOut += applyLayer(root, entries, { layer, limits: entryLimits, whiteouts: true }).devicesLeftOut;
      layers.push(source);
    }
  } else {
    devicesLeftOut = applyLayer(root, outerEntries, { layer: 0, limits: entryLimits, whiteouts: false }).devicesLeftOut;
    layers.push(outer);
  }

  requireShell(root);
  addMountPoints(root, entryLimits);
  const { entries, inodes } = measure(root, limits);
  const caBundle = await readCaBundle(root, layers);
  await makeErofs(deps, archiveOf(root, layers), { directory: join(work, "made"), inodes, signal });
  const disk = join(directory, "base.erofs");
  await rename(join(work, "made", "base.erofs"), disk);
  await rm(work, { recursive: true });
  if (caBundle) await writeFileDurably(join(directory, "ca-certificates.crt"), caBundle.content, 0o644);
  const draft: ImageDraft = {
    version: 1,
    ...(await settle(disk, { signal })),
    entries,
    devicesLeftOut,
    source: { file: basename(file), kind: container ? "container" : "tree" },
    caBundle: caBundle?.path ?? null,
  };
  await writeFileDurably(join(directory, "draft.json"), `${JSON.stringify(draft)}\n`);
  await syncPath(directory);
  return draft;
}

async function openArchive(file: string, openFile: (path: string) => Promise<ByteSource>): Promise<ByteSource> {
  try {
    return await openFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw badArchive("there is no such file");
    if (code === undefined || isAppError(error)) throw error;
    throw badArchive(messageOf(error));
  }
}

async function entriesOf(source: ByteSource, limits: TarLimits): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for await (const entry of readTar(source, limits)) entries.push(entry);
  return entries;
}

/**
 * Symlinks let short names stand for long paths, so the whole tree is measured.
 * @returns how many names there are, and how many files and folders.
 * @throws AppError `validation_failed` when paths are too long, or contents too large.
 */
function measure(root: Directory, limits: ImportLimits): { readonly entries: number; readonly inodes: number } {
  const budget = createByteBudget(limits);
  const pathLimits = createEntryLimits({ ...limits, maxEntries: Number.POSITIVE_INFINITY });
  const seen = new Set<Leaf>();
  let entries = 0;
  let directories = 1;
  const todo: { readonly directory: Directory; readonly pathBytes: number }[] = [{ directory: root, pathBytes: 0 }];
  for (let next = todo.pop(); next; next = todo.pop()) {
    for (const [name, node] of next.directory.children) {
      entries++;
      const pathBytes = next.pathBytes + 1 + name.length;
      if (pathBytes > MAX_PATH_BYTES)
        throw badArchive(`the path of ${shown(name)} has more than ${MAX_PATH_BYTES} bytes`);
      pathLimits.count(pathBytes);
      if (node.kind === "directory") {
        directories++;
        todo.push({ directory: node, pathBytes });
      } else if (!seen.has(node)) {
        seen.add(node);
        if (node.kind === "file") budget.take(node.content.size);
      }
    }
  }
  return { entries, inodes: directories + seen.size };
}

/** Makes the disk root's and read-only, and durable. */
async function settle(
  disk: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  await chown(disk, 0, 0);
  await chmod(disk, 0o444);
  await using handle = await open(disk, "r");
  await handle.sync();
  const { size } = await handle.stat();
  const hash = createHash("sha256");
  for await (const piece of bytesOf(fileSource(handle, { offset: 0, length: size, signal }))) hash.update(piece);
  return { digest: `sha256:${hash.digest("hex")}`, sizeBytes: size };
}
