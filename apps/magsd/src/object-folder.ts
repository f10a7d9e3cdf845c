/**
 * The folder that is an installation's object store. It is made once, by the server's first start; which one it was is
 * kept beside it, so that an empty folder, where its file system is not mounted, is never taken for it.
 */
import { open, readFile, rename } from "node:fs/promises";
import { makeFileStore } from "@mags/object-store";
import type { ServerConfig } from "./config.ts";
import { placesOf } from "./installation.ts";

type DataConfig = Pick<ServerConfig, "data_dir">;

/** The identity of the installation's folder; undefined where it never had one. */
export async function knownObjectFolder(config: DataConfig): Promise<string | undefined> {
  try {
    return (await readFile(placesOf(config).objectFolder, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}

/** Makes the folder of an installation that never had one; of others nothing. For whoever holds the server's lock. */
export async function claimObjectFolder(config: DataConfig): Promise<void> {
  const { objects, objectFolder } = placesOf(config);
  if ((await knownObjectFolder(config)) !== undefined) return;
  const identity = await makeFileStore(objects);
  const written = `${objectFolder}.new`;
  {
    await using file = await open(written, "w", 0o600);
    await file.writeFile(`${identity}\n`);
    await file.sync();
  }
  await rename(written, objectFolder);
  await using folder = await open(config.data_dir);
  await folder.sync();
}
