/** Guest images as the node knows them, and what is written down of an imported one. */
import { join } from "node:path";
import type { SyncCall } from "@mags/block-server";
import { AppError } from "@mags/core";
import { z } from "zod";

export interface Image {
  readonly name: string;
  /** Directory that holds `base.erofs`. */
  readonly directory: string;
  readonly digest: string;
  /** Certificates that programs of the image trust: a copy on the host, and where the guest has them. Null: none. */
  readonly caBundle: { readonly file: string; readonly guestPath: string } | null;
}

/** Its files, as the block server reads them. */
export function imageFilesOf({ name, digest, directory, caBundle }: Image): SyncCall["image"] {
  return { name, digest, disk: join(directory, IMAGE_DISK), caBundle };
}

export const IMAGE_DISK = "base.erofs";
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

const SOURCES = ["tree", "container"] as const;

/** What an import makes before anything has run in the image. */
export const ImageDraft = z.object({
  version: z.literal(1),
  digest: Digest,
  sizeBytes: z.int().nonnegative(),
  /** Files, folders and links in it. */
  entries: z.int().nonnegative(),
  /** Device nodes of the archive that were left out. */
  devicesLeftOut: z.int().nonnegative(),
  source: z.object({ file: z.string(), kind: z.enum(SOURCES) }),
  /** Where the guest has its certificates. */
  caBundle: z.string().nullable(),
});
export type ImageDraft = z.infer<typeof ImageDraft>;

const Tools = z.object({ found: z.array(z.string()), missing: z.array(z.string()) });
export type Tools = z.infer<typeof Tools>;

/** `image.json`: the draft, and what was found when the image first ran. Of one that was fetched that is not known. */
export const ImageRecord = ImageDraft.extend({
  entries: ImageDraft.shape.entries.nullable(),
  devicesLeftOut: ImageDraft.shape.devicesLeftOut.nullable(),
  source: z.object({ file: z.string(), kind: z.enum([...SOURCES, "store"]) }),
  createdAt: z.iso.datetime(),
  tools: Tools.nullable(),
});
export type ImageRecord = z.infer<typeof ImageRecord>;

export const DEFAULT_IMAGE = "standard";

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** @throws AppError `validation_failed` that says what a name is. */
export function checkImageName(name: string): void {
  if (!NAME.test(name))
    throw new AppError(
      "validation_failed",
      `${JSON.stringify(name)} is no name for an image: use 1 to 63 lower-case letters, digits, ".", "_" and "-", a letter or digit first`,
    );
}
