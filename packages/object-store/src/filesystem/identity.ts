/** Which store a folder is: a number by chance in its file `id`. */
import { randomBytes } from "node:crypto";
import { link, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, isMissing } from "./file-errors.ts";

const placeOf = (directory: string) => join(directory, "id");

/** Undefined for a folder that was never given one. */
export async function identityOf(directory: string): Promise<string | undefined> {
  try {
    return (await readFile(placeOf(directory), "utf8")).trim();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Gives it one unless it has one; `scratch` is a new name in the same file system. The folder is to be synced then. */
export async function giveIdentity(directory: string, scratch: string): Promise<string> {
  const found = await identityOf(directory);
  if (found !== undefined) return found;
  const identity = randomBytes(16).toString("hex");
  try {
    {
      await using file = await open(scratch, "wx", 0o600);
      await file.writeFile(`${identity}\n`);
      await file.sync();
    }
    await link(scratch, placeOf(directory));
    return identity;
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    return await readFile(placeOf(directory), "utf8").then((text) => text.trim()); // another process was first
  } finally {
    await rm(scratch, { force: true });
  }
}
