/** The descriptor of an image: the parts that it consists of. @see docs/formats/stored-images.md */
import { randomUUID } from "node:crypto";
import { AppError } from "@mags/core";
import { z } from "zod";
import { decodeJsonObject } from "./json-object.ts";
import { CODEC, type RecordRef } from "./records.ts";

const FORMAT = 1;
const MAX_BYTES = 4 << 20;
/** Plain bytes of a part; the last one of the disk has what is left. */
export const PART_BYTES = 16 << 20;

const CodecNumber = z.union([z.literal(CODEC.stored), z.literal(CODEC.zstd)]);
const PartRow = z.tuple([
  z.int().positive().max(PART_BYTES),
  CodecNumber,
  z.int().positive().max(PART_BYTES),
  z.string().regex(/^[0-9a-f]{64}$/),
]);
const Shared = {
  magic: z.literal("mags-image"),
  format: z.literal(FORMAT),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  write_id: z.uuid(),
};
const Whole = z.object({
  ...Shared,
  state: z.literal("whole"),
  name: z.string(),
  upload: z.string().regex(/^[0-9a-f]{32}$/),
  disk_bytes: z.int().positive(),
  parts: z.array(PartRow),
  ca_bundle: z.object({ path: z.string(), part: PartRow }).nullable(),
});
const Removed = z.object({ ...Shared, state: z.literal("removed") });
const Wire = z.discriminatedUnion("state", [Whole, Removed]);

export type StoredImage = Readonly<z.infer<typeof Whole>>;
export type ImageState = Readonly<z.infer<typeof Wire>>;
/** Stored bytes, codec, plain bytes and their SHA-256. */
export type ImagePart = z.infer<typeof PartRow>;
export type ImageDraft =
  | Omit<StoredImage, "magic" | "format" | "write_id">
  | Omit<z.infer<typeof Removed>, "magic" | "format" | "write_id">;

/** @returns bytes that no other write of this or any descriptor has. */
export function encodeImage(draft: ImageDraft): { readonly state: ImageState; readonly bytes: Buffer } {
  const state: ImageState = { ...draft, magic: "mags-image", format: FORMAT, write_id: randomUUID() };
  return { state, bytes: Buffer.from(JSON.stringify(state)) };
}

/** @throws AppError `store_corrupt`, also when it is of another image than was asked for; `isForeign` tells damage apart. */
export function decodeImage(
  bytes: Buffer,
  { digest, key }: { readonly digest: string; readonly key: string },
): ImageState {
  const bad = (why: string, details = {}) => new AppError("store_corrupt", `${key} is not valid: ${why}`, { details });
  const image = decodeJsonObject(bytes, Wire, { maxBytes: MAX_BYTES, format: FORMAT, bad });
  if (image.digest !== digest) throw bad(`it is of image ${image.digest}`);
  if (image.state === "removed") return image;
  const plain = image.parts.map(([, , plainBytes]) => plainBytes);
  if (plain.slice(0, -1).some((size) => size !== PART_BYTES)) throw bad("a part in its middle is not whole");
  if (plain.reduce((sum, size) => sum + size, 0) !== image.disk_bytes)
    throw bad("its parts are not as long as its disk");
  return image;
}

/** A part as a record that fills its object. */
export function recordOf([storedBytes, codec, plainBytes, sha256]: ImagePart, key: string): RecordRef {
  return { pack: key, offset: 0, storedBytes, plainBytes, codec, sha256 };
}
