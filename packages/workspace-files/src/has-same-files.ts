/** Whether a disk has the files of a version, without a look at them. */
import { differsInNotesOnly } from "@mags/ext4";
import type { VersionReader } from "@mags/workspace-store";

/**
 * Of a disk that is the version but for its start: true when that differs only in what the file system notes of itself, so no
 * file does. False says nothing.
 * @param start  The first bytes of the disk, at least 2048.
 * @throws AppError `chunk_corrupt`, `store_corrupt` when the version cannot be read there, and what the store says.
 */
export async function hasSameFiles(
  version: Pick<VersionReader, "read">,
  start: Buffer,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  return differsInNotesOnly(await version.read(0, start.length, { signal }), start);
}
