/** Uploads as files of one directory: `<id>`, and `<id>.part` until it is kept. */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@mags/core";
import type { FromGuest } from "@mags/domain";
import type { UploadFiles } from "../app/upload-files.ts";

const PART = ".part";

/** Takes the directory over: what an earlier process was writing is removed. */
export async function openUploadDirectory(directory: string): Promise<UploadFiles> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const place = (name: string) => join(directory, name);
  for (const name of await readdir(directory)) if (name.endsWith(PART)) await rm(place(name), { force: true });
  const underWay = new Set<string>();

  async function remove(id: string): Promise<void> {
    await rm(place(id + PART), { force: true });
    await rm(place(id), { force: true });
    underWay.delete(id + PART);
  }

  return {
    async write(id, content) {
      underWay.add(id + PART);
      try {
        await using file = await open(place(id + PART), "wx", 0o600);
        let sizeBytes = 0;
        for await (const piece of content) sizeBytes += await writeAll(file, piece);
        await file.sync();
        return sizeBytes;
      } catch (error) {
        await remove(id);
        throw isFull(error)
          ? new AppError("unavailable", "the server's disk is full: the upload was not kept", { cause: error })
          : error;
      }
    },
    async keep(ids) {
      for (const id of ids) await rename(place(id + PART), place(id));
      await using folder = await open(directory, constants.O_RDONLY);
      await folder.sync();
      for (const id of ids) underWay.delete(id + PART);
    },
    async open(id) {
      const file = await open(place(id), "r").catch((cause: unknown) => {
        throw new AppError("file_not_found", `the bytes of the upload ${id} are not there: upload it again`, { cause });
      });
      const { size } = await file.stat();
      return { sizeBytes: size, content: contentOf(file) };
    },
    remove,
    list: async () => (await readdir(directory)).filter((name) => !name.endsWith(PART)),
    get underWay() {
      return [...underWay];
    },
  };
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<number> {
  for (let done = 0; done < piece.length; ) done += (await file.write(piece, done)).bytesWritten;
  return piece.length;
}

async function* contentOf(file: FileHandle): FromGuest<Uint8Array> {
  yield* file.createReadStream({ highWaterMark: 256 * 1024 });
}

function isFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException | null)?.code ?? "");
}
