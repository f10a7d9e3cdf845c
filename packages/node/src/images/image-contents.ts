/** The contents of imported images, as they lie below the directory of images: each in a directory named by its digest. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, messageOf } from "@mags/core";
import { type Image, ImageRecord } from "./image.ts";

/** In the directory of a content that has certificates. */
export const CA_BUNDLE = "ca-certificates.crt";
/** Names of the directories. */
export const CONTENT = /^[0-9a-f]{64}$/;

export function imageOf(
  name: string,
  directory: string,
  { digest, caBundle }: Pick<ImageRecord, "digest" | "caBundle">,
): Image {
  return {
    name,
    directory,
    digest,
    caBundle: caBundle === null ? null : { file: join(directory, CA_BUNDLE), guestPath: caBundle },
  };
}

/** A directory without a record that can be read is no image. */
export async function readContents(root: string, log: Logger): Promise<Map<string, ImageRecord>> {
  const contents = new Map<string, ImageRecord>();
  for (const entry of await readdir(root)) {
    if (!CONTENT.test(entry)) continue;
    try {
      const record = ImageRecord.parse(JSON.parse(await readFile(join(root, entry, "image.json"), "utf8")));
      if (record.digest !== `sha256:${entry}`) throw new Error("its record is another's");
      contents.set(record.digest, record);
    } catch (error) {
      log.warn("image.not_readable", { directory: join(root, entry), error: messageOf(error) });
    }
  }
  return contents;
}
