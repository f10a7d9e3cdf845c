/** The file with the key that secrets are sealed with: one line, `mags-sealing-key-1 ` and 32 bytes in base64. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { link, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, messageOf, readSecretFile } from "@mags/core";
import { createSealing, SEALING_KEY_BYTES, type Sealing } from "../app/sealing.ts";

const PREFIX = "mags-sealing-key-1 ";
/** Added to the name of the file while it is being written. */
const NEW = ".new";

/**
 * Reads the key; where there is none yet and it may be made, makes it: whole or not at all, and never over one that is
 * there. One process at a time may make it; any number may read it.
 * @param options.make  False: the file has to be there, as that of all servers of an installation.
 * @throws AppError `unavailable` that names the file: it cannot be read, is damaged, or others than its owner may read it.
 */
export async function openSealing(file: string, { make }: { readonly make: boolean }): Promise<Sealing> {
  // What a process that was killed left.
  if (make) await rm(file + NEW, { force: true });
  let text = await readIfThere(file);
  if (text === undefined && make) {
    await makeKey(file).catch((cause: unknown) => {
      throw new AppError("unavailable", `cannot make ${file}, which secrets are sealed with: ${messageOf(cause)}`, {
        cause,
      });
    });
    text = await readIfThere(file);
  }
  if (text === undefined)
    throw new AppError(
      "unavailable",
      `there is no ${file}, which secrets are sealed with: copy it from another server of this installation; for a new one make it with: (umask 077; echo "${PREFIX}$(head -c ${SEALING_KEY_BYTES} /dev/urandom | base64 -w 0)" > ${file})`,
    );
  const bytes = bytesOf(text);
  if (!bytes)
    throw new AppError(
      "unavailable",
      `${file}, which secrets are sealed with, is damaged: put back a copy of it. What was sealed with a key that is lost is lost, too`,
    );
  return createSealing({ bytes, file });
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readSecretFile(file);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new AppError("unavailable", `cannot read ${file}, which secrets are sealed with: ${messageOf(cause)}`, {
      cause,
    });
  }
}

function bytesOf(text: string): Buffer | null {
  const match = /^mags-sealing-key-1 ([A-Za-z0-9+/]{43}=)\n?$/.exec(text);
  return match ? Buffer.from(match[1] ?? "", "base64") : null;
}

async function makeKey(file: string): Promise<void> {
  {
    await using made = await open(file + NEW, "wx", 0o600);
    await made.writeFile(`${PREFIX}${randomBytes(SEALING_KEY_BYTES).toString("base64")}\n`);
    await made.sync();
  }
  // Not a rename, which would take the place of one that is there.
  await link(file + NEW, file);
  await rm(file + NEW);
  await using folder = await open(dirname(file), constants.O_RDONLY);
  await folder.sync();
}
