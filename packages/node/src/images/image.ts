/** Guest images as the node knows them, and what is written down of an imported one. */
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

export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** What an import makes before anything has run in the image. */
export const ImageDraft = z.object({
  version: z.literal(1),
  digest: Digest,
  sizeBytes: z.int().nonnegative(),
  /** Files, folders and links in it. */
  entries: z.int().nonnegative(),
  /** Device nodes of the archive that were left out. */
  devicesLeftOut: z.int().nonnegative(),
  source: z.object({ file: z.string(), kind: z.enum(["tree", "container"]) }),
  /** Where the guest has its certificates. */
  caBundle: z.string().nullable(),
});
export type ImageDraft = z.infer<typeof ImageDraft>;

/** `image.json`: the draft, and what was found when the image first ran. */
export const ImageRecord = ImageDraft.extend({
  createdAt: z.iso.datetime(),
  tools: z.object({ found: z.array(z.string()), missing: z.array(z.string()) }),
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
