/** The head of a workspace: its versions, and who may write. @see docs/formats/workspace-store.md */
import { randomUUID } from "node:crypto";
import { AppError } from "@mags/core";
import { z } from "zod";
import type { VersionName } from "../keys.ts";
import { decodeJsonObject, FOREIGN } from "./json-object.ts";
import { type Manifest, SyncReason } from "./manifest.ts";

const FORMAT = 1;
/** No head is larger. */
export const MAX_HEAD_BYTES = 256 << 10;

const Count = z.int().nonnegative();
const Known = z.object({
  magic: z.literal("mags-head"),
  format: z.literal(FORMAT),
  account: z.uuid(),
  workspace: z.uuid(),
  name: z.string(),
  state: z.enum(["live", "deleted"]),
  deleted_at: z.iso.datetime().optional(),
  generation: z.int().positive(),
  lease: z.object({ holder: z.string(), expires_at: z.iso.datetime() }).nullable(),
  forked_from: z.object({ workspace: z.uuid(), name: z.string(), seq: z.int().positive() }).nullable(),
  versions: z.array(
    z.object({
      seq: z.int().positive(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      created_at: z.iso.datetime(),
      reason: SyncReason,
      disk_bytes: Count,
      data_bytes: Count,
      stored_bytes: Count,
    }),
  ),
  write_id: z.uuid(),
});
/** As it stands in the store. */
export type Head = Readonly<z.infer<typeof Known>>;
export type HeadVersion = Readonly<Head["versions"][number]>;

/** A head that is to be written. */
export type HeadDraft = Omit<Head, "magic" | "format" | "write_id">;

/** What later builds added at the top is kept by those that write a head again. */
const Wire = Known.loose();

/** @returns Bytes that no other write of this or any head has. */
export function encodeHead(head: HeadDraft): { readonly head: Head; readonly bytes: Buffer } {
  const written: Head = { ...head, magic: "mags-head", format: FORMAT, write_id: randomUUID() };
  const bytes = Buffer.from(JSON.stringify(written));
  if (bytes.length > MAX_HEAD_BYTES)
    throw new AppError("store_corrupt", `the head of workspace ${head.workspace} would have ${bytes.length} bytes`);
  return { head: written, bytes };
}

/** What helps where a head is lost: its next writer lists the versions that are there. */
export const ANEW = "the next sync of the workspace, mags workspace restore or mags run -p writes it anew";

/** @throws AppError `store_corrupt`, which says what helps. */
export function decodeHead(bytes: Buffer, key: string): Head {
  // One of a format that is not known may be whole.
  const bad = (why: string, details = {}) =>
    new AppError(
      "store_corrupt",
      `${key} is not valid: ${why}${details === FOREIGN ? "" : `; remove that object: ${ANEW}`}`,
      {
        details,
      },
    );
  const head = decodeJsonObject(bytes, Wire, { maxBytes: MAX_HEAD_BYTES, format: FORMAT, bad });
  const { versions } = head;
  if (versions.some(({ seq }, i) => seq <= (versions[i - 1]?.seq ?? 0))) throw bad("its versions are not in order");
  return head;
}

/** The version that the workspace is; undefined before its first was published. */
export function latestOf(head: Head): HeadVersion | undefined {
  return head.versions.at(-1);
}

/** How a head lists a version. */
export function headVersionOf(
  name: VersionName,
  { createdAt, reason, diskBytes, dataBytes, storedBytes }: Manifest,
): HeadVersion {
  return {
    ...{ seq: name.seq, sha256: name.sha256, created_at: createdAt.toISOString(), reason },
    ...{ disk_bytes: diskBytes, data_bytes: dataBytes, stored_bytes: storedBytes },
  };
}
