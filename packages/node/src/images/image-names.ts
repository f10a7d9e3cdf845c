/** `names.json`: which name means which content, by digest. */
import { readFile } from "node:fs/promises";
import { AppError, messageOf } from "@mags/core";
import { z } from "zod";
import { writeFileDurably } from "../host/files.ts";
import { Digest } from "./image.ts";

export interface ImageNames {
  readonly all: ReadonlyMap<string, string>;
  /** Names of a content. */
  of(digest: string): string[];
  /** Holds at once in memory, so that nobody takes a name that is going; and not at all when it cannot be written. */
  set(name: string, digest: string | undefined): Promise<void>;
}

const Names = z.object({ version: z.literal(1), names: z.record(z.string(), Digest) });

/** @throws AppError `internal` when the file is damaged; without one there is no name. */
export async function openImageNames(path: string): Promise<ImageNames> {
  const names = await readNames(path);
  return {
    all: names,
    of: (digest) => [...names].filter(([, meant]) => meant === digest).map(([name]) => name),
    async set(name, digest) {
      const before = names.get(name);
      const put = (value: string | undefined) => (value === undefined ? names.delete(name) : names.set(name, value));
      put(digest);
      try {
        await writeFileDurably(path, `${JSON.stringify({ version: 1, names: Object.fromEntries(names) })}\n`);
      } catch (error) {
        put(before);
        throw error;
      }
    },
  };
}

async function readNames(path: string): Promise<Map<string, string>> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return new Map();
  try {
    return new Map(Object.entries(Names.parse(JSON.parse(text)).names));
  } catch (error) {
    throw new AppError("internal", `${path} is damaged: ${messageOf(error)}`, { cause: error });
  }
}
