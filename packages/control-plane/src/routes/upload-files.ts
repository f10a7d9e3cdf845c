import { files, ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

const LIMITS = { fileBytes: files.MAX_UPLOAD_BYTES, files: 100 };
const FIELDS: readonly string[] = ["file", "files"];

export function uploadFilesRoute({ uploads }: RouteDeps): BoundRoute {
  return bind(ROUTES.uploadFiles, async ({ upload, account }) => {
    await using batch = uploads.begin(account.id);
    for await (const { field, name, content } of upload.files(LIMITS)) {
      if (!FIELDS.includes(field))
        throw new AppError("validation_failed", `${JSON.stringify(field)} is no part of an upload: call it file`);
      await batch.add(name, content);
    }
    const kept = await batch.keep();
    const [first] = kept;
    if (!first)
      throw new AppError("validation_failed", "there is no file in the request: send it as a part named file");
    return {
      file_id: first.id,
      file_ids: kept.map(({ id }) => id),
      files: kept.map(({ id, name, sizeBytes }) => ({ file_id: id, file_name: name, size: sizeBytes })),
    };
  });
}
