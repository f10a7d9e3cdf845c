/**
 * The first half of an import: makes the image's disk, in the process of the command, so that the server's event loop
 * serves jobs meanwhile. One at a time per data directory; what a killed one left is removed by the next, or by the server.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isAppError, lockFile } from "@mags/core";
import type { NodeOptions } from "../node.ts";
import { loadArtifacts } from "./artifacts.ts";
import { buildImage } from "./build/build-image.ts";
import type { ImageDraft } from "./image.ts";
import { BUILD_PREFIX, imagesDirectory } from "./image-store.ts";

export interface PreparedImport extends AsyncDisposable {
  /** For `Images.register`. What is not registered when this is disposed of is removed. */
  readonly build: string;
  readonly draft: ImageDraft;
}

const MIB = 1024 ** 2;

/**
 * @throws AppError `validation_failed` for an archive that makes no image, `unavailable` when another import is under
 * way; the signal's reason, when nothing is left of what was begun.
 */
export async function prepareImport(
  { dataDirectory, artifactsFile, config }: NodeOptions,
  file: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<PreparedImport> {
  await using scope = new AsyncDisposableStack();
  const root = imagesDirectory(dataDirectory);
  await mkdir(root, { recursive: true, mode: 0o700 });
  scope.use(await importLock(root));
  await removeBuilds(root);
  const { runtime } = await loadArtifacts(artifactsFile);
  const build = `${BUILD_PREFIX}${randomBytes(6).toString("hex")}`;
  const directory = join(root, build);
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  await mkdir(directory, { mode: 0o755 });
  const limits = { maxBytes: config.images.max_size_mb * MIB, maxEntries: config.images.max_entries };
  const draft = await buildImage({ runtime, uid: config.uid_base }, { file, directory, limits, signal });
  const owned = scope.move();
  return { build, draft, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Removes what killed imports left, unless one is under way. */
export async function sweepBuilds(dataDirectory: string): Promise<void> {
  const root = imagesDirectory(dataDirectory);
  try {
    await using _lock = await importLock(root);
    await removeBuilds(root);
  } catch (error) {
    if (!isAppError(error, "unavailable")) throw error;
  }
}

/** Names of the builds that an import is at work on, as in `NodeFootprint.work`. */
export async function importsUnderWay(dataDirectory: string): Promise<readonly string[]> {
  const root = imagesDirectory(dataDirectory);
  const builds = (await readdir(root).catch(() => [])).filter((name) => name.startsWith(BUILD_PREFIX));
  if (builds.length === 0) return [];
  try {
    await using _lock = await importLock(root);
    return [];
  } catch (error) {
    if (isAppError(error, "unavailable")) return builds;
    throw error;
  }
}

function importLock(root: string): Promise<AsyncDisposable> {
  return lockFile(join(root, "import.lock"), { taken: "another import is under way: wait for its end" });
}

async function removeBuilds(root: string): Promise<void> {
  for (const name of await readdir(root))
    if (name.startsWith(BUILD_PREFIX)) await rm(join(root, name), { recursive: true, force: true });
}
