import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { clientError } from "./errors.ts";
import type { UploadBody } from "./upload-body.ts";

/** One file of this machine as the body of an upload, read while it is sent (RFC 7578). */
export async function multipartOf(path: string): Promise<UploadBody> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw clientError("invalid_argument", `cannot read ${path}: ${error.code ?? error.message}`, error);
  });
  if (!found.isFile()) throw clientError("invalid_argument", `cannot upload ${path}: it is no file`);
  const boundary = randomBytes(18).toString("base64url");
  // A quoted name cannot tell `"` from `%22` (as browsers write it), so this is the form of RFC 8187.
  const name = encodeURIComponent(basename(path)).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
  const disposition = `Content-Disposition: form-data; name="file"; filename*=UTF-8''${name}`;
  const head = Buffer.from(`--${boundary}\r\n${disposition}\r\nContent-Type: application/octet-stream\r\n\r\n`);
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  async function* content(): AsyncGenerator<Uint8Array> {
    yield head;
    // As many bytes as were announced, whatever becomes of the file meanwhile.
    if (found.size > 0) yield* createReadStream(path, { end: found.size - 1, highWaterMark: 256 * 1024 });
    yield tail;
  }
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    length: head.length + found.size + tail.length,
    content: content(),
  };
}
