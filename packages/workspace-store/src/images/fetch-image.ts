/** Writes an image of the store into files. */
import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { AppError, isAppError, writeWhole } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { type ImagePart, recordOf, type StoredImage } from "../format/image.ts";
import { CODEC, corrupt } from "../format/records.ts";
import { readImage } from "./image-descriptor.ts";
import { partKey } from "./image-keys.ts";

type Signal = { readonly signal: AbortSignal };

const decompress = promisify(zstdDecompress);
/** Parts that are asked for ahead. */
const AHEAD = 3;
const PIECE_BYTES = 1 << 20;

/** @throws AppError `store_corrupt` when the store does not have it, or its descriptor is damaged. */
export async function storedImage(store: ObjectStore, digest: string, { signal }: Signal): Promise<StoredImage> {
  const image = (await readImage(store, digest, { signal }))?.image;
  if (image?.state === "whole") return image;
  throw new AppError("store_corrupt", `the store does not have image ${digest}`);
}

/**
 * The plain bytes of a part, proven by their digest.
 * @throws AppError `chunk_corrupt` when it is damaged or lost.
 */
export async function readImagePart(
  store: ObjectStore,
  { digest, upload }: Pick<StoredImage, "digest" | "upload">,
  { index, part, signal }: Signal & { readonly index: number; readonly part: ImagePart },
): Promise<Buffer> {
  const key = partKey(digest, { upload, index });
  const ref = recordOf(part, key);
  try {
    const { bytes } = await store.get(key, { range: { start: 0, end: ref.storedBytes }, signal });
    const plain = ref.codec === CODEC.stored ? bytes : await plainOf(bytes, part, key);
    const hash = createHash("sha256");
    for (let at = 0; at < plain.length; at += PIECE_BYTES) {
      hash.update(plain.subarray(at, at + PIECE_BYTES));
      await new Promise(setImmediate); // other work of this process has its turn
    }
    if (plain.length !== ref.plainBytes || hash.digest("hex") !== ref.sha256)
      throw corrupt(ref, "its bytes have another digest");
    return plain;
  } catch (error) {
    if (isAppError(error, "object_not_found")) throw corrupt(ref, "it is not there", error);
    if (isAppError(error, "range_not_satisfiable"))
      throw corrupt(ref, `it has less than ${ref.storedBytes} bytes`, error);
    throw error;
  }
}

async function plainOf(stored: Buffer, part: ImagePart, key: string): Promise<Buffer> {
  try {
    return await decompress(stored, { maxOutputLength: part[2] });
  } catch (error) {
    throw corrupt(recordOf(part, key), "it cannot be decompressed", error);
  }
}

/** All parts: those of the disk, then the certificates. */
export function partsOf({ parts, ca_bundle }: StoredImage): readonly ImagePart[] {
  return ca_bundle ? [...parts, ca_bundle.part] : parts;
}

/**
 * Writes disk and certificates, each synced, in place of what is there. What a failure leaves is removed.
 * @throws AppError `store_corrupt` or `chunk_corrupt` when the store does not have it whole, `disk_full`.
 */
export async function fetchImage(
  store: ObjectStore,
  digest: string,
  { disk, caBundle, signal }: Signal & { readonly disk: string; readonly caBundle: string },
): Promise<{ readonly diskBytes: number; readonly caBundlePath: string | null }> {
  const image = await storedImage(store, digest, { signal });
  try {
    const whole = createHash("sha256");
    await using file = await open(disk, "w", 0o444);
    await using certificates = image.ca_bundle ? await open(caBundle, "w", 0o444) : undefined;
    for await (const { index, plain } of readAhead(store, image, { signal })) {
      if (index === image.parts.length) {
        await certificates?.writeFile(plain);
        await certificates?.sync();
        continue;
      }
      for (let at = 0; at < plain.length; at += PIECE_BYTES) {
        const piece = plain.subarray(at, at + PIECE_BYTES);
        whole.update(piece);
        await writeWhole(file, piece);
      }
    }
    if (`sha256:${whole.digest("hex")}` !== digest)
      throw new AppError("store_corrupt", `what the store has as image ${digest} has another digest`);
    await file.sync();
    return { diskBytes: image.disk_bytes, caBundlePath: image.ca_bundle?.path ?? null };
  } catch (error) {
    for (const path of [disk, caBundle]) await rm(path, { force: true });
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    throw new AppError("disk_full", `there is no room for image ${image.name} on this node`, { cause: error });
  }
}

async function* readAhead(
  store: ObjectStore,
  image: StoredImage,
  { signal: ended }: Signal,
): AsyncGenerator<{ readonly index: number; readonly plain: Buffer }, void, void> {
  const left = new AbortController();
  const signal = AbortSignal.any([ended, left.signal]);
  const all = partsOf(image);
  const asked = new Map<number, Promise<Buffer>>();
  const ask = (index: number) => {
    const part = all[index];
    if (!part) return;
    const plain = readImagePart(store, image, { index, part, signal });
    plain.catch(() => {}); // awaited in its turn
    asked.set(index, plain);
  };
  try {
    for (let index = 0; index < AHEAD; index++) ask(index);
    for (const index of all.keys()) {
      const plain = await asked.get(index);
      asked.delete(index);
      if (plain) yield { index, plain };
      ask(index + AHEAD);
    }
  } finally {
    left.abort(new AppError("unavailable", "the image is not read any more"));
  }
}
