import { clientError } from "./errors.ts";
import { jobPath } from "./job-path.ts";
import { networkError } from "./network-error.ts";
import { type FileDownload, type ReadFileOptions, readFile } from "./read-file.ts";
import type { Transport } from "./transport.ts";
import type { Done, FileInfo, FileList, FileWritten } from "./wire.generated.ts";

/** Text, or bytes where it is no UTF-8. A relative path counts from /root. */
export type FilePath = string | Uint8Array;
/** What is sent is read as the server takes it. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface FileCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface WriteFileOptions extends FileCallOptions {
  /** Permission bits. Default: those of the file that is replaced, 0o644 for a new one. */
  readonly mode?: number | undefined;
  /** Default: now. */
  readonly mtimeMs?: number | undefined;
  /** Make missing folders. */
  readonly parents?: boolean | undefined;
  /** Refuse to replace a file. */
  readonly exclusive?: boolean | undefined;
  /** How many bytes there are, where that is known. */
  readonly size?: number | undefined;
}

/** Files of a job's VM, which must be running. */
export interface JobFiles {
  stat(path: FilePath, options?: FileCallOptions & { readonly follow?: boolean | undefined }): Promise<FileInfo>;
  /** Resolves when the file is there; its content comes as it is read, over lost connections. */
  read(path: FilePath, options?: ReadFileOptions): Promise<FileDownload>;
  /** Replaces the file when all has arrived; until then, and when it does not, what was there stays. */
  write(path: FilePath, content: FileContent, options?: WriteFileOptions): Promise<FileWritten>;
  /** What is in a folder, in no order. */
  list(path: FilePath, options?: FileCallOptions): Promise<FileList>;
  remove(path: FilePath, options?: FileCallOptions & { readonly recursive?: boolean | undefined }): Promise<Done>;
  rename(
    path: FilePath,
    to: FilePath,
    options?: FileCallOptions & { readonly replace?: boolean | undefined },
  ): Promise<Done>;
  makeFolder(
    path: FilePath,
    options?: FileCallOptions & { readonly parents?: boolean | undefined; readonly mode?: number | undefined },
  ): Promise<Done>;
  /** A tar archive of what is in a folder; it throws when it does not come whole. */
  readArchive(path: FilePath, options?: FileCallOptions): AsyncGenerator<Uint8Array, void, void>;
  /** Writes what is in a tar archive into a folder, which is made if it is missing. */
  writeArchive(path: FilePath, archive: FileContent, options?: FileCallOptions): Promise<Done>;
}

/** For the server to write to the VM's disk what it was sent. */
const UPLOAD_TIMEOUT_MS = 600_000;
const REMOVE_TIMEOUT_MS = 600_000;

export function createJobFiles(transport: Transport, nameOrId: string): JobFiles {
  const at = (rest = "") => jobPath(nameOrId, `/files${rest}`);
  return {
    stat: (path, { follow, signal } = {}) =>
      transport.json({
        method: "GET",
        path: at("/stat"),
        query: { path: bytesOf(path), follow: flag(follow) },
        signal,
      }),
    read: (path, options = {}) => readFile(transport, { path: at(), query: { path: bytesOf(path) } }, options),
    write(path, content, { mode, mtimeMs, parents, exclusive, size, signal } = {}) {
      const query = {
        path: bytesOf(path),
        mode: octal(mode),
        mtime: mtimeMs === undefined ? undefined : mtimeMs / 1000,
        parents: flag(parents),
        exclusive: flag(exclusive),
      };
      const upload = uploadOf(content, "application/octet-stream", size);
      return transport.json({ method: "PUT", path: at(), query, upload, timeoutMs: UPLOAD_TIMEOUT_MS, signal });
    },
    list: (path, { signal } = {}) =>
      transport.json({ method: "GET", path: at("/list"), query: { path: bytesOf(path) }, signal }),
    remove: (path, { recursive, signal } = {}) =>
      transport.json({
        method: "DELETE",
        path: at(),
        query: { path: bytesOf(path), recursive: flag(recursive) },
        timeoutMs: REMOVE_TIMEOUT_MS,
        signal,
      }),
    rename(path, to, { replace, signal } = {}) {
      const query = { path: bytesOf(path), to: bytesOf(to), replace: flag(replace) };
      return transport.json({ method: "POST", path: at("/rename"), query, signal });
    },
    makeFolder(path, { parents, mode, signal } = {}) {
      const query = { path: bytesOf(path), parents: flag(parents), mode: octal(mode) };
      return transport.json({ method: "POST", path: at("/mkdir"), query, signal });
    },
    async *readArchive(path, { signal } = {}) {
      const query = { path: bytesOf(path) };
      const reply = await transport.open({ method: "GET", path: at("/archive"), query, signal });
      try {
        yield* reply as AsyncIterable<Uint8Array>;
      } catch (error) {
        throw signal?.aborted ? signal.reason : networkError(error, transport.apiUrl);
      } finally {
        reply.destroy();
      }
    },
    writeArchive: (path, archive, { signal } = {}) =>
      transport.json({
        method: "PUT",
        path: at("/archive"),
        query: { path: bytesOf(path) },
        upload: uploadOf(archive, "application/x-tar"),
        timeoutMs: UPLOAD_TIMEOUT_MS,
        signal,
      }),
  };
}

function bytesOf(path: FilePath): Uint8Array {
  if (path.length === 0) throw clientError("invalid_argument", "the path is empty");
  return typeof path === "string" ? Buffer.from(path) : path;
}

function flag(value: boolean | undefined): number | undefined {
  return value ? 1 : undefined;
}

function octal(mode: number | undefined): string | undefined {
  return mode === undefined ? undefined : (mode & 0o7777).toString(8);
}

function uploadOf(content: FileContent, contentType: string, size?: number) {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  if (!(bytes instanceof Uint8Array)) return { contentType, content: bytes, length: size };
  return { contentType, content: once(bytes), length: bytes.length };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes;
}
