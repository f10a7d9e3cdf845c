import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { AppError } from "@mags/core";

const SECRET_BYTES = 32;

/** Makes the secret that the server and its edges share. A file that is there is left alone. */
export async function makeEdgeSecret(file: string, print: (line: string) => void): Promise<void> {
  try {
    await writeFile(file, `${randomBytes(SECRET_BYTES).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new AppError("validation_failed", `${file} is there already: remove it first to replace the secret`);
  }
  print(`made ${file}: copy it to the server and to its edges (edges.secret_file, upstream.secret_file)`);
}
