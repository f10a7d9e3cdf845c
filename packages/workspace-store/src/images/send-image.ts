/** Sends the files of an image as parts. Nothing names them before their descriptor is put. */
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { constants, zstdCompress } from "node:zlib";
import { AppError, createGate } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { type ImagePart, PART_BYTES, type StoredImage } from "../format/image.ts";
import { CODEC, isWorthIt } from "../format/records.ts";
import { partKey } from "./image-keys.ts";

/** The files of an image, as a node has them. */
export interface ImageFiles {
  /** What its node calls it. */
  readonly name: string;
  /** `sha256:` and the digest of the disk. */
  readonly digest: string;
  /** Path of the disk. */
  readonly disk: string;
  /** Certificates, and where a guest has them. */
  readonly caBundle: { readonly file: string; readonly guestPath: string } | null;
}

/** An upload that may be gone on with: what is in the store already is not sent again. */
export interface ImageUpload {
  readonly id: string;
  readonly sent: Map<number, ImagePart>;
}

export const newImageUpload = (): ImageUpload => ({ id: randomBytes(16).toString("hex"), sent: new Map() });

/** Read and hashed at a time: longer pieces would hold up what else this process does. */
const PIECE_BYTES = 1 << 20;
/** Parts that are in memory at a time. */
const AT_ONCE = 3;
const compress = promisify(zstdCompress);

type Sent = Pick<StoredImage, "upload" | "disk_bytes" | "parts" | "ca_bundle">;

/** @throws AppError `internal` when the disk is not what its digest says. */
export async function sendImage(
  store: ObjectStore,
  image: ImageFiles,
  { upload, signal }: { readonly upload: ImageUpload; readonly signal: AbortSignal },
): Promise<Sent> {
  /** When one part fails no more are begun; those under way need not be sent again. */
  const failed = new AbortController();
  const going = AbortSignal.any([signal, failed.signal]);
  const gate = createGate(AT_ONCE);
  const sending: Promise<ImagePart>[] = [];
  const send = async (plain: Buffer, sha256: string) => {
    const index = sending.length;
    const leave = await gate.enter({ signal: going });
    const key = partKey(image.digest, { upload: upload.id, index });
    const part = sendPart(store, { key, plain, sha256, before: upload.sent.get(index), signal }).finally(leave);
    part.then(
      (sent) => upload.sent.set(index, sent),
      (error: unknown) => failed.abort(error),
    );
    sending.push(part);
  };
  try {
    const whole = createHash("sha256");
    let diskBytes = 0;
    await using disk = await open(image.disk);
    for (;;) {
      const { plain, sha256 } = await readPart(disk, diskBytes);
      if (plain.length === 0) break;
      whole.update(plain);
      diskBytes += plain.length;
      await send(plain, sha256);
    }
    const diskParts = sending.length;
    if (`sha256:${whole.digest("hex")}` !== image.digest)
      throw new AppError("internal", `image ${image.name} is damaged on this node: ${image.disk} has another digest`);
    const { caBundle } = image;
    if (caBundle) {
      await using file = await open(caBundle.file);
      const { plain, sha256 } = await readPart(file, 0);
      if (plain.length === 0 || (await file.stat()).size > plain.length)
        throw new AppError("internal", `${caBundle.file} is too large or empty`);
      await send(plain, sha256);
    }
    const parts = await Promise.all(sending);
    const certificates = parts[diskParts];
    return {
      upload: upload.id,
      disk_bytes: diskBytes,
      parts: parts.slice(0, diskParts),
      ca_bundle: caBundle && certificates ? { path: caBundle.guestPath, part: certificates } : null,
    };
  } finally {
    await Promise.allSettled(sending);
  }
}

async function readPart(
  file: FileHandle,
  position: number,
): Promise<{ readonly plain: Buffer; readonly sha256: string }> {
  const part = Buffer.allocUnsafe(PART_BYTES);
  const hash = createHash("sha256");
  let length = 0;
  while (length < PART_BYTES) {
    const most = Math.min(PIECE_BYTES, PART_BYTES - length);
    const { bytesRead } = await file.read(part, length, most, position + length);
    if (bytesRead === 0) break;
    hash.update(part.subarray(length, length + bytesRead));
    length += bytesRead;
  }
  return { plain: part.subarray(0, length), sha256: hash.digest("hex") };
}

async function sendPart(
  store: ObjectStore,
  {
    key,
    plain,
    sha256,
    before,
    signal,
  }: {
    readonly key: string;
    readonly plain: Buffer;
    readonly sha256: string;
    readonly before: ImagePart | undefined;
    readonly signal: AbortSignal;
  },
): Promise<ImagePart> {
  if (before?.[3] === sha256) return before;
  const zstd = await compress(plain, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const smaller = isWorthIt(zstd.length, plain.length);
  const stored = smaller ? zstd : plain;
  await store.put(key, stored, { signal });
  return [stored.length, smaller ? CODEC.zstd : CODEC.stored, plain.length, sha256];
}
