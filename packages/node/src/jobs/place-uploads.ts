import { AppError, isAppError, messageOf } from "@mags/core";
import type { UploadSource } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";
import { explainFileError } from "../guests/file-errors.ts";
import { writeAll } from "../guests/guest-writer.ts";

/** Where the script of a job with uploads starts. */
export const UPLOADS_FOLDER = "/uploads";
const HOME = "/root";
const COPY_MS = 600_000;
const MAX_MESSAGE_BYTES = 4_096;

/**
 * Puts the uploads of a job into /uploads and, as files of their own, into /root. Of several with the same name the last
 * stays.
 * @throws AppError `disk_full`, `file_not_found` when one is no longer there.
 */
export async function placeUploads(
  agent: AgentConnection,
  uploads: UploadSource,
  fileIds: readonly string[],
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const places = new Set<string>();
  for (const fileId of fileIds) {
    const { name, content } = await uploads.open(fileId, { signal });
    const path = `${UPLOADS_FOLDER}/${name}`;
    try {
      await writeAll(agent, { kind: "fileWrite", path, parents: true, atomic: true }, content, { signal });
    } catch (error) {
      throw explainFileError(error, "write the upload", Buffer.from(path));
    }
    places.add(path);
  }
  const argv = ["cp", "-f", "--", ...places, `${HOME}/`];
  const copy = await agent.run({ argv, timeoutMs: COPY_MS, maxBytes: MAX_MESSAGE_BYTES }, { signal }).catch((error) => {
    throw isAppError(error) ? new AppError(error.code, `the uploads could not be copied: ${messageOf(error)}`) : error;
  });
  if (copy.exitCode === 0) return;
  const { diskBytes } = await agent.stats({ signal });
  if (diskBytes.free === 0) throw new AppError("disk_full", `the guest's disk is too small for its uploads in ${HOME}`);
  throw new AppError("guest_failed", `the uploads could not be copied to ${HOME}: cp ended with ${copy.exitCode}`);
}
