/**
 * Finds the layers of a container image in an archive: the OCI layout (`index.json`) and what `docker save` writes
 * (`manifest.json`). Everything that is named by a digest is checked against it.
 */
import { createHash } from "node:crypto";
import { posix } from "node:path";
import { badArchive } from "@mags/tar";
import { z } from "zod";
import { type ByteSource, bytesOf, partOf } from "../tar/byte-source.ts";
import type { TarEntry } from "../tar/reader.ts";

/** Layers of a container image, the lowest first, perhaps compressed. */
export interface ContainerImage {
  readonly layers: readonly ByteSource[];
  /** Digests of the layers without compression, where they are known. */
  readonly plainDigests: readonly string[];
}

const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const Platform = z.object({ architecture: z.string(), os: z.string() });
const Descriptor = z.object({
  mediaType: z.string().default(""),
  digest: Digest,
  platform: Platform.optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
const Index = z.object({ manifests: z.array(Descriptor).max(10_000) });
const Manifest = z.object({ config: Descriptor, layers: z.array(Descriptor) });
const Config = z.object({
  architecture: z.string(),
  os: z.string(),
  rootfs: z.object({ diff_ids: z.array(Digest).default([]) }).default({ diff_ids: [] }),
});
const SavedImages = z.array(
  z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) }),
);

const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
const MAX_LAYERS = 500;
const MAX_MANIFESTS = 1000;
/** Of the images that an archive holds too many of. */
const MAX_SHOWN = 5;

/** @returns undefined when the archive holds no container image: it is the tree of one itself then. */
export async function findContainerImage(
  source: ByteSource,
  entries: readonly TarEntry[],
): Promise<ContainerImage | undefined> {
  const files = new Map(entries.map((entry) => [posix.normalize(entry.path.replace(/^\/+/, "")), entry]));
  const archive = createArchive(source, files);
  if (files.has("oci-layout") && files.has("index.json")) return readLayout(archive);
  if (files.has("manifest.json")) return readSaved(archive);
  return undefined;
}

type Archive = ReturnType<typeof createArchive>;

function createArchive(source: ByteSource, files: ReadonlyMap<string, TarEntry>) {
  function open(name: string): ByteSource {
    let entry = files.get(name);
    // `docker save` of some versions writes a layer that two images share as a symlink to the other's.
    if (entry?.type === "symlink") entry = files.get(posix.join(posix.dirname(name), entry.linkPath));
    if (entry?.type !== "file") throw badArchive(`it names ${JSON.stringify(name)} and does not hold it`);
    return partOf(source, { offset: entry.offset, length: entry.size });
  }
  async function json(name: string): Promise<unknown> {
    const part = open(name);
    if (part.length > MAX_DOCUMENT_BYTES) throw badArchive(`its ${name} is larger than ${MAX_DOCUMENT_BYTES} bytes`);
    const text = (await part.read(0, part.length)).toString("utf8");
    try {
      return JSON.parse(text);
    } catch {
      throw badArchive(`its ${name} is not JSON`);
    }
  }
  return {
    open,
    json,
    async blob(digest: string): Promise<ByteSource> {
      const part = open(`blobs/${digest.replace(":", "/")}`);
      await checkDigest(part, digest);
      return part;
    },
    async document<T>(schema: z.ZodType<T>, name: string): Promise<T> {
      const result = schema.safeParse(await json(name));
      if (!result.success) throw badArchive(`its ${name} is not what it should be: ${firstIssue(result.error)}`);
      return result.data;
    },
  };
}

function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue ? `${issue.path.join(".") || "it"}: ${issue.message}` : "it does not match";
}

/** @throws AppError `validation_failed` when the bytes are others. */
export async function checkDigest(source: ByteSource, digest: string): Promise<void> {
  const hash = createHash("sha256");
  for await (const piece of bytesOf(source)) hash.update(piece);
  const found = `sha256:${hash.digest("hex")}`;
  if (found !== digest) throw badArchive(`it is damaged: a part that should be ${digest} is ${found}`);
}

async function readLayout(archive: Archive): Promise<ContainerImage> {
  const manifests = await manifestsOf(archive);
  const [chosen] = manifests;
  if (!chosen) throw badArchive("it holds no image for linux/amd64");
  if (manifests.length > 1) {
    const names = manifests
      .slice(0, MAX_SHOWN)
      .map(({ annotations, digest }) => annotations?.["org.opencontainers.image.ref.name"] ?? digest);
    const more = manifests.length > MAX_SHOWN ? ", ..." : "";
    throw badArchive(`it holds ${manifests.length} images (${names.join(", ")}${more}): make an archive of one`);
  }
  await archive.blob(chosen.digest);
  const manifest = await archive.document(Manifest, blobName(chosen.digest));
  await archive.blob(manifest.config.digest);
  const config = await checkedConfig(archive, blobName(manifest.config.digest));
  checkCount(manifest.layers.length);
  const layers: ByteSource[] = [];
  for (const { digest } of manifest.layers) layers.push(await archive.blob(digest));
  return { layers, plainDigests: config.rootfs.diff_ids };
}

const blobName = (digest: string) => `blobs/${digest.replace(":", "/")}`;

/**
 * Manifests of images that a guest of this machine can run, each once. Indexes may stand in indexes, and name each other
 * and the same again and again: what was seen is not looked at twice.
 */
async function manifestsOf(archive: Archive): Promise<z.infer<typeof Descriptor>[]> {
  const found: z.infer<typeof Descriptor>[] = [];
  const seen = new Set<string>();
  const indexes = ["index.json"];
  for (let name = indexes.pop(); name !== undefined; name = indexes.pop()) {
    const { manifests } = await archive.document(Index, name);
    for (const descriptor of manifests) {
      const { platform, mediaType, digest } = descriptor;
      if (platform && (platform.os !== "linux" || platform.architecture !== "amd64")) continue;
      if (seen.has(digest)) continue;
      seen.add(digest);
      if (seen.size > MAX_MANIFESTS) throw badArchive(`its indexes name more than ${MAX_MANIFESTS} manifests`);
      if (!/index|manifest\.list/.test(mediaType)) found.push(descriptor);
      else {
        await archive.blob(digest);
        indexes.push(blobName(digest));
      }
    }
  }
  return found;
}

async function readSaved(archive: Archive): Promise<ContainerImage | undefined> {
  // A tree may have a file of that name, too.
  const saved = SavedImages.safeParse(await archive.json("manifest.json").catch(() => undefined));
  if (!saved.success) return undefined;
  const [image] = saved.data;
  if (!image) return undefined;
  if (saved.data.length > 1) throw badArchive(`it holds ${saved.data.length} images: give docker save the name of one`);
  const config = await checkedConfig(archive, image.Config);
  checkCount(image.Layers.length);
  return { layers: image.Layers.map(archive.open), plainDigests: config.rootfs.diff_ids };
}

async function checkedConfig(archive: Archive, name: string): Promise<z.infer<typeof Config>> {
  const config = await archive.document(Config, name);
  if (config.os !== "linux" || config.architecture !== "amd64")
    throw badArchive(`it is an image for ${config.os}/${config.architecture}; VMs here are linux/amd64`);
  return config;
}

function checkCount(layers: number): void {
  if (layers === 0) throw badArchive("it is an image without layers");
  if (layers > MAX_LAYERS) throw badArchive(`it has ${layers} layers, more than ${MAX_LAYERS}`);
}
