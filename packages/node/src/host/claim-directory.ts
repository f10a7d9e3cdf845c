import { readFile } from "node:fs/promises";
import { AppError } from "@mags/core";
import { writeFileDurably } from "./files.ts";

interface Claim {
  readonly id: string;
  readonly epoch: number;
}

/**
 * Writes down which installation a directory belongs to and how far it has come.
 * @throws AppError `unavailable` when it belongs to another, or has served a later epoch.
 */
export async function claimDirectory(path: string, claim: Claim): Promise<void> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text !== undefined) {
    const kept = JSON.parse(text) as Claim;
    if (kept.id !== claim.id)
      throw new AppError(
        "unavailable",
        `this data directory belongs to installation ${kept.id}, the database to ${claim.id}: use the right database, or another data_dir`,
      );
    if (kept.epoch > claim.epoch)
      throw new AppError(
        "unavailable",
        `the database is older than this data directory (epoch ${claim.epoch}, here ${kept.epoch}): jobs that ran since would run again; restore the newer database, or move data_dir away`,
      );
  }
  await writeFileDurably(path, `${JSON.stringify({ id: claim.id, epoch: claim.epoch })}\n`);
}
