import type { FileHandle } from "node:fs/promises";

/**
 * Writes all of the bytes: a system may take a part of what it is asked for, as on a disk that gets full.
 * @param position  Byte of the file. Default: where the last write ended.
 * @throws what the system says; `ENOSPC` when it takes nothing any more.
 */
export async function writeWhole(
  file: Pick<FileHandle, "write">,
  bytes: Uint8Array,
  { position }: { readonly position?: number } = {},
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const at = position === undefined ? null : position + done;
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at);
    if (bytesWritten === 0)
      throw Object.assign(new Error(`only ${done} of ${bytes.length} bytes could be written`), { code: "ENOSPC" });
    done += bytesWritten;
  }
}
