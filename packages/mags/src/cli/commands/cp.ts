import { createReadStream, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { MagsError } from "../../sdk/errors.ts";
import type { JobFiles } from "../../sdk/job-files.ts";
import type { FileInfo } from "../../sdk/wire.generated.ts";
import { type Cli, warn } from "../cli.ts";
import { packTree } from "../copy/pack-tree.ts";
import { type Place, parsePlace } from "../copy/place.ts";
import { createProgress, type Progress } from "../copy/progress.ts";
import { type Found, fileTarget, folderTarget } from "../copy/target.ts";
import { unpackTree } from "../copy/unpack-tree.ts";
import { writeFile } from "../copy/write-file.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { watchInterrupts } from "../interrupts.ts";

const VM_PATIENCE_MS = 30_000;
const VM_PAUSE_MS = 200;

interface Copy {
  readonly files: JobFiles;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly onSkip: (path: string, why: string) => void;
}

/** Copies a file or folder between this machine and the VM of a job. */
export async function cp(cli: Cli, from: string, to: string): Promise<number> {
  const [source, target] = [parsePlace(from), parsePlace(to)];
  const job = jobOf(source, target);
  const mags = await connect(cli);
  using interrupts = watchInterrupts(cli.signals, cli.exit);
  const stopping = new AbortController();
  void interrupts.first.then((interrupt) => stopping.abort(interrupt));
  const progress = createProgress(cli);
  let skipped = 0;
  let told: Promise<void> = Promise.resolve();
  const copy: Copy = {
    files: mags.files(job),
    progress,
    signal: stopping.signal,
    onSkip(path, why) {
      skipped++;
      told = told.then(() => warn(cli, `left out ${path}: ${why}`));
    },
  };
  try {
    if (source.kind === "here") await upload(copy, source.path, target.path);
    else await download(copy, source.path, target.path);
  } catch (error) {
    if (interrupts.current) return interrupts.current.exitCode;
    throw error;
  } finally {
    await progress.end();
    await told;
  }
  return skipped > 0 ? 1 : 0;
}

function jobOf(source: Place, target: Place): string {
  if (source.kind === "job" && target.kind === "here") return source.job;
  if (target.kind === "job" && source.kind === "here") return target.job;
  throw new Failure(
    source.kind === "job" ? "one side must be of this machine" : "one side must be in a VM, as NAME:PATH",
    "mags cp FILE NAME:PATH, or mags cp NAME:PATH FILE; a file of yours whose name has a colon is written ./NAME",
  );
}

async function upload(copy: Copy, source: string, target: string): Promise<void> {
  const { files, progress, signal, onSkip } = copy;
  const own = await stat(source).catch((error: NodeJS.ErrnoException) => {
    throw new Failure(`cannot read ${source}: ${error.code === "ENOENT" ? "there is no such file" : error.message}`);
  });
  const found = foundThere(await lookThere(copy, target));
  if (own.isFile()) {
    const { size, mode, mtimeMs } = own;
    const content = size === 0 ? nothing() : createReadStream(source, { end: size - 1, highWaterMark: 256 * 1024 });
    const path = fileTarget(source, target, found);
    await files.write(path, progress.count(content), { size, mode: mode & 0o7777, mtimeMs, signal });
    return;
  }
  if (!own.isDirectory()) throw new Failure(`cannot copy ${source}: it is no file or folder`);
  const { path, whole } = folderTarget(source, target, found);
  await files.writeArchive(path, progress.count(packTree(source, { whole, onSkip })), { signal });
}

async function download(copy: Copy, source: string, target: string): Promise<void> {
  const { files, progress, signal, onSkip } = copy;
  const there = await lookThere(copy, source);
  if (!there) throw new Failure(`there is no ${source} in the VM`);
  const found = foundHere(await lookHere(target));
  if (there.type === "file") {
    const path = fileTarget(source, target, found);
    const file = await files.read(source, { signal });
    const content = progress.count(file.content);
    await writeFile(path, path === target ? found : foundHere(await lookHere(path)), { ...file, content });
    return;
  }
  if (there.type !== "directory") throw new Failure(`cannot copy ${source}: it is no file or folder`);
  const { path, whole } = folderTarget(source, target, found);
  const archive = progress.count(files.readArchive(source, { signal }));
  await unpackTree(archive, path, { whole, onSkip });
}

/** What is in the VM; null when there is nothing. Waits for a VM that is on its way. */
async function lookThere({ files, signal }: Copy, path: string): Promise<FileInfo | null> {
  const startedAt = performance.now();
  for (;;) {
    try {
      return await files.stat(path, { follow: true, signal });
    } catch (error) {
      if (!(error instanceof MagsError)) throw error;
      if (error.code === "file_not_found") return null;
      if (error.code !== "no_vm" || performance.now() - startedAt > VM_PATIENCE_MS) throw error;
      await delay(VM_PAUSE_MS, undefined, { signal });
    }
  }
}

async function lookHere(path: string): Promise<Stats | null> {
  return stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new Failure(`cannot look at ${path}: ${error.message}`);
  });
}

function foundThere(info: FileInfo | null): Found {
  if (!info) return null;
  if (info.type === "directory") return "folder";
  return info.type === "file" ? "file" : "other";
}

function foundHere(found: Stats | null): Found {
  if (!found) return null;
  if (found.isDirectory()) return "folder";
  return found.isFile() ? "file" : "other";
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {}
