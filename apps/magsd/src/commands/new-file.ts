import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "@mags/core";

/** Makes a file that only root reads. @throws AppError `validation_failed` where there is one, or no folder for it. */
export async function makeNewFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EEXIST")
      throw new AppError("validation_failed", `${path} is there already: remove it, or name another file`, { cause });
    if (code === "ENOENT")
      throw new AppError("validation_failed", `there is no folder ${dirname(path)}: make it, or name another`, {
        cause,
      });
    throw cause;
  }
}
