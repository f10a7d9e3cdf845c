import { readSandboxRecords, sandboxesDirectory } from "./sandbox-record.ts";

/** Directories of the images that sandboxes stand on, also while no node runs. Rejects when that cannot be told. */
export async function imagesHeldBySandboxes(dataDirectory: string): Promise<string[]> {
  const { found } = await readSandboxRecords(sandboxesDirectory(dataDirectory));
  return [...new Set(found.map(({ image }) => image.directory))];
}
