import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { open, realpath, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FileDownload } from "../../sdk/read-file.ts";
import { Failure } from "../failure.ts";
import type { Found } from "./target.ts";

/**
 * Writes one file of this machine: beside it first, so that what was there stays until all has come. A device or pipe is
 * written to as it is.
 */
export async function writeFile(path: string, found: Found, download: FileDownload): Promise<void> {
  const { content, mode, mtimeMs, size } = download;
  if (found === "other") {
    await pipeline(Readable.from(content), createWriteStream(path, { flags: "r+" }));
    return;
  }
  const target = found === null ? path : await realpath(path);
  const part = join(dirname(target), `.mags-${randomBytes(12).toString("hex")}`);
  try {
    const file = await open(part, "wx", 0o600);
    let bytes = 0;
    try {
      for await (const piece of content) {
        for (let done = 0; done < piece.length; ) done += (await file.write(piece, done)).bytesWritten;
        bytes += piece.length;
      }
      if (size !== undefined && bytes !== size)
        throw new Failure(`the file has ${size} bytes, of which only ${bytes} came: it changed meanwhile; try again`);
      await file.chmod(mode & 0o777);
      await file.utimes(mtimeMs / 1000, mtimeMs / 1000);
    } finally {
      await file.close();
    }
    await rename(part, target);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}
