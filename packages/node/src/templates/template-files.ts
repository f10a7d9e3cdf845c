/** What can be told of templates, and done with them, by their files alone. */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";

/** The digest of the image that a template boots; undefined when the template is not there or half made. */
async function imageOfTemplate(root: string, key: string): Promise<string | undefined> {
  try {
    const { digest } = JSON.parse(await readFile(join(root, key, "template.json"), "utf8")) as { digest?: unknown };
    return typeof digest === "string" ? digest : undefined;
  } catch {
    return undefined;
  }
}

/** Removes the templates of an image, but for those with a key in `inUse`. */
export async function removeTemplatesOf(root: string, imageDigest: string, inUse: ReadonlySet<string>): Promise<void> {
  for (const key of await readdir(root)) {
    if (inUse.has(key) || (await imageOfTemplate(root, key)) !== imageDigest) continue;
    // Without this file it is no template, whatever a crash leaves of it.
    await rm(join(root, key, "template.json"));
    await rm(join(root, key), { recursive: true });
  }
}

/** Digests of the images of those templates; undefined when one cannot be told. */
export async function imagesOfTemplates(
  root: string,
  keys: ReadonlySet<string>,
  known: ReadonlyMap<string, string> = new Map(),
): Promise<ReadonlySet<string> | undefined> {
  const digests = new Set<string>();
  for (const key of keys) {
    const digest = known.get(key) ?? (await imageOfTemplate(root, key));
    if (digest === undefined) return undefined;
    digests.add(digest);
  }
  return digests;
}
