/** Images of a node that does not run, by its files alone, under its lock: everything but what needs a microVM. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AppError, lockFile, silentLogger, systemClock } from "@mags/core";
import { readRecords } from "../microvm/record.ts";
import type { NodeOptions } from "../node.ts";
import { readSandboxRecords, sandboxesDirectory } from "../sandboxes/sandbox-record.ts";
import { imagesOfTemplates, removeTemplatesOf } from "../templates/template-files.ts";
import { loadArtifacts } from "./artifacts.ts";
import { createImages, type Images } from "./image-administration.ts";
import { imagesDirectory, openImageStore } from "./image-store.ts";

/** @throws AppError `unavailable` when the node runs. */
export async function openStoredImages({
  dataDirectory,
  artifactsFile,
}: Pick<NodeOptions, "dataDirectory" | "artifactsFile">): Promise<Omit<Images, "register"> & AsyncDisposable> {
  await using scope = new AsyncDisposableStack();
  const [vms, templates] = [join(dataDirectory, "vms"), join(dataDirectory, "templates")];
  for (const path of [vms, templates]) await mkdir(path, { recursive: true, mode: 0o711 });
  scope.use(await lockFile(join(dataDirectory, "node.lock")));
  const { images: installed } = await loadArtifacts(artifactsFile);
  const store = await openImageStore(imagesDirectory(dataDirectory), { installed, log: silentLogger });
  // They may run on, and the next node takes them over.
  const { found } = await readRecords(vms);
  const keys = new Set(found.flatMap(({ record }) => record.templateKey ?? []));
  const { found: sandboxes } = await readSandboxRecords(sandboxesDirectory(dataDirectory));
  const images = createImages({
    store,
    installed,
    usersOf: (name) => [
      ...found.flatMap(({ binding }) => (binding?.size.image === name ? [`job ${binding.jobId}`] : [])),
      ...sandboxes.flatMap(({ id, image }) => (image.name === name ? [`sandbox ${id}`] : [])),
    ],
    whatIsInUse: async () => {
      const ofTemplates = await imagesOfTemplates(templates, keys);
      const ofSandboxes = new Set(sandboxes.map(({ image }) => image.digest));
      return ofTemplates && ((digest) => ofTemplates.has(digest) || ofSandboxes.has(digest));
    },
    removeTemplates: (digest) => removeTemplatesOf(templates, digest, keys),
    check: () => Promise.reject(new AppError("unavailable", "the node does not run")),
    now: systemClock.now,
  });
  const owned = scope.move();
  return { ...images, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
