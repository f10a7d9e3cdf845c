import { z } from "zod";
import { Done, JobParams } from "./jobs.ts";
import { route } from "./route.ts";

export const MAX_UPLOAD_BYTES = 100 * 1024 * 1024;

const Uploaded = z.object({ file_id: z.uuid(), file_name: z.string(), size: z.int() }).meta({ id: "UploadedFile" });

export const UploadReply = z
  .object({
    file_id: z.uuid().describe("Of the first file."),
    file_ids: z.array(z.uuid()),
    files: z.array(Uploaded),
  })
  .meta({ id: "Uploaded" });

const Path = z
  .string()
  .min(1)
  .describe("Bytes, percent-encoded, so that they need not be UTF-8. A relative path counts from /root.");
const flag = () => z.stringbool().default(false);
const Mode = z
  .string()
  .regex(/^[0-7]{1,4}$/, "must be an octal number, such as 644")
  .optional()
  .describe("Permission bits, octal.");

const PathQuery = z.object({ path: Path });

export const WriteQuery = z.object({
  path: Path,
  mode: Mode.describe("Permission bits, octal. Default: those of the file that is replaced, 644 for a new one."),
  mtime: z.coerce
    .number()
    .nonnegative()
    .max(2 ** 40)
    .optional()
    .describe("Seconds since 1970. Default: now."),
  parents: flag().describe("Make missing folders."),
  exclusive: flag().describe("Refuse to replace a file."),
});

export const RemoveQuery = z.object({
  path: Path,
  recursive: flag().describe("A folder with all that is in it."),
});

export const RenameQuery = z.object({
  path: Path,
  to: Path,
  replace: flag().describe("Take the place of what is there."),
});

export const FolderQuery = z.object({
  path: Path,
  parents: flag().describe("Make missing folders above it too; one that exists is no error."),
  mode: Mode.describe("Permission bits, octal. Default: 755."),
});

export const StatQuery = z.object({
  path: Path,
  follow: flag().describe("Of a symbolic link: describe what it leads to."),
});

const ENTRY = {
  type: z.enum(["file", "directory", "symlink", "fifo", "socket", "character_device", "block_device", "unknown"]),
  mode: z.string().describe("Permission bits, octal."),
  size: z.int(),
  mtime: z.iso.datetime(),
  uid: z.int(),
  gid: z.int(),
  target: z.string().optional().describe("Of a symbolic link."),
  target_base64: z.string().optional().describe("Where target is not UTF-8."),
};

export const FileInfo = z.object(ENTRY).meta({ id: "FileInfo" });
export type FileInfoWire = z.infer<typeof FileInfo>;

export const FileEntry = z
  .object({
    name: z.string(),
    name_base64: z.string().optional().describe("Where name is not UTF-8."),
    ...ENTRY,
  })
  .meta({ id: "FileEntry" });
export type FileEntryWire = z.infer<typeof FileEntry>;

const STATE_ERRORS = [404, 409, 507] as const;

export const uploadFiles = route({
  method: "POST",
  path: "/mags-files",
  summary: "Upload files for jobs",
  description:
    "Parts `file` or `files`, at most 100 MB each. They are kept for 24 hours, or until a job that used them has ended.",
  auth: "account",
  upload: "multipart/form-data",
  responses: { 200: UploadReply },
  errors: [413],
});

export const getFile = route({
  method: "GET",
  path: "/mags-jobs/{id}/files",
  summary: "Read a file of the VM of a job",
  description:
    "Answers 206 to a Range of one part. ETag changes with size and time of the file; with If-Range a changed file is sent whole. X-Mags-Mode holds its permission bits.",
  auth: "account",
  params: JobParams,
  query: PathQuery,
  download: "application/octet-stream",
  responses: { 200: null },
  errors: [...STATE_ERRORS, 416],
});

export const headFile = route({
  method: "HEAD",
  path: "/mags-jobs/{id}/files",
  summary: "The headers that reading a file would give",
  auth: "account",
  params: JobParams,
  query: PathQuery,
  download: "application/octet-stream",
  responses: { 200: null },
  errors: [...STATE_ERRORS],
});

export const putFile = route({
  method: "PUT",
  path: "/mags-jobs/{id}/files",
  summary: "Write a file of the VM of a job",
  description: "What was there stays until all has arrived, and when it does not arrive.",
  auth: "account",
  params: JobParams,
  query: WriteQuery,
  upload: "application/octet-stream",
  responses: { 200: z.object({ size: z.int() }).meta({ id: "FileWritten" }) },
  errors: [...STATE_ERRORS],
});

export const removeFile = route({
  method: "DELETE",
  path: "/mags-jobs/{id}/files",
  summary: "Remove a file or folder",
  description: "Links are removed, never followed.",
  auth: "account",
  params: JobParams,
  query: RemoveQuery,
  responses: { 200: Done },
  errors: [...STATE_ERRORS],
});

export const statFile = route({
  method: "GET",
  path: "/mags-jobs/{id}/files/stat",
  summary: "What a file is",
  auth: "account",
  params: JobParams,
  query: StatQuery,
  responses: { 200: FileInfo },
  errors: [...STATE_ERRORS],
});

export const listFiles = route({
  method: "GET",
  path: "/mags-jobs/{id}/files/list",
  summary: "What is in a folder, in no order",
  auth: "account",
  params: JobParams,
  query: PathQuery,
  responses: { 200: z.object({ entries: z.array(FileEntry) }).meta({ id: "FileList" }) },
  errors: [...STATE_ERRORS],
});

export const renameFile = route({
  method: "POST",
  path: "/mags-jobs/{id}/files/rename",
  summary: "Rename or move a file or folder",
  auth: "account",
  params: JobParams,
  query: RenameQuery,
  responses: { 200: Done },
  errors: [...STATE_ERRORS],
});

export const makeFolder = route({
  method: "POST",
  path: "/mags-jobs/{id}/files/mkdir",
  summary: "Make a folder",
  auth: "account",
  params: JobParams,
  query: FolderQuery,
  responses: { 200: Done },
  errors: [...STATE_ERRORS],
});

export const getArchive = route({
  method: "GET",
  path: "/mags-jobs/{id}/files/archive",
  summary: "A tar archive of what is in a folder",
  description: "Names begin with `./`. A reply that is cut off is not whole: its archive has no end.",
  auth: "account",
  params: JobParams,
  query: PathQuery,
  download: "application/x-tar",
  responses: { 200: null },
  errors: [...STATE_ERRORS],
});

export const putArchive = route({
  method: "PUT",
  path: "/mags-jobs/{id}/files/archive",
  summary: "Write what is in a tar archive into a folder",
  description: "The folder is made if it is missing; all files become root's. What was written before a failure stays.",
  auth: "account",
  params: JobParams,
  query: PathQuery,
  upload: "application/x-tar",
  responses: { 200: Done },
  errors: [...STATE_ERRORS],
});
