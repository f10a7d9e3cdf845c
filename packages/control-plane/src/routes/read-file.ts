import { ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import type { GuestFileInfo } from "@mags/domain";
import { inGuest } from "../app/in-guest.ts";
import { type ByteRange, byteRange } from "../http/byte-range.ts";
import { requiredBytesOfQuery } from "../http/bytes-query.ts";
import { type BoundRoute, bind, type RouteInput } from "../http/route.ts";
import { Streamed } from "../http/streamed.ts";
import type { RouteDeps } from "./deps.ts";
import { octal, timeOf } from "./file-wire.ts";
import { findJob } from "./find-job.ts";

const CONTENT_TYPE = "application/octet-stream";

export function getFileRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.getFile, async (input) => {
    const path = requiredBytesOfQuery(input.rawQuery, "path");
    const { signal, headers } = input;
    const job = await findJob(deps.store, input.account.id, input.params.id);
    return inGuest(job, async (guest) => {
      const info = await fileInfo(deps, guest, input);
      const range = requestedRange(headers, info);
      const part = range ?? { offset: 0, length: info.sizeBytes };
      // What files of /proc hold is known only when they are read.
      const length = info.sizeBytes === 0 ? null : part.length;
      const bytes = await deps.node.files.read(guest, { path, offset: part.offset, length }, { signal });
      const pieces = length === null ? bytes : whole(bytes, length);
      return new Streamed(CONTENT_TYPE, pieces, {
        status: range ? 206 : 200,
        headers: {
          ...fileHeaders(info),
          ...(length !== null && { "content-length": part.length }),
          ...(range && { "content-range": contentRange(range, info) }),
        },
      });
    });
  });
}

export function headFileRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.headFile, async (input) => {
    const job = await findJob(deps.store, input.account.id, input.params.id);
    const info = await inGuest(job, (guest) => fileInfo(deps, guest, input));
    return new Streamed(CONTENT_TYPE, nothing(), {
      headers: { ...fileHeaders(info), ...(info.sizeBytes > 0 && { "content-length": info.sizeBytes }) },
    });
  });
}

async function fileInfo(
  { node }: RouteDeps,
  guest: Parameters<RouteDeps["node"]["files"]["stat"]>[0],
  { rawQuery, signal }: Pick<RouteInput<typeof ROUTES.getFile>, "rawQuery" | "signal">,
): Promise<GuestFileInfo> {
  const path = requiredBytesOfQuery(rawQuery, "path");
  const info = await node.files.stat(guest, { path, follow: true }, { signal });
  if (info.type === "directory")
    throw new AppError("file_conflict", "it is a folder: read .../files/archive for a tar archive of it");
  if (info.type !== "file") throw new AppError("file_conflict", `it is no file, but a ${info.type.replace("_", " ")}`);
  return info;
}

/** @throws AppError `range_not_satisfiable` */
function requestedRange(headers: RouteInput<typeof ROUTES.getFile>["headers"], info: GuestFileInfo): ByteRange | null {
  const condition = headers["if-range"];
  if (condition !== undefined && condition !== entityTag(info)) return null;
  const range = byteRange(headers.range, info.sizeBytes);
  if (range === "unsatisfiable")
    throw new AppError("range_not_satisfiable", `the file has ${info.sizeBytes} bytes: the range lies behind its end`);
  return range;
}

function fileHeaders(info: GuestFileInfo): Record<string, string> {
  return {
    "accept-ranges": "bytes",
    etag: entityTag(info),
    "last-modified": timeOf(info).toUTCString(),
    "x-mags-mode": octal(info.mode),
    "x-mags-mtime": String(info.mtimeMs / 1000),
  };
}

function entityTag({ mtimeMs, sizeBytes }: GuestFileInfo): string {
  return `"${Math.round(mtimeMs * 1000).toString(36)}-${sizeBytes.toString(36)}"`;
}

function contentRange({ offset, length }: ByteRange, { sizeBytes }: GuestFileInfo): string {
  return `bytes ${offset}-${offset + length - 1}/${sizeBytes}`;
}

/**
 * A file that changed its length while it was read must not pass for whole, and no byte past its announced length may
 * follow: clients would take it for the next response.
 */
async function* whole(bytes: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for await (const piece of bytes) {
    if (sent + piece.length > length) throw changed(sent + piece.length, length);
    yield piece;
    sent += piece.length;
  }
  if (sent !== length) throw changed(sent, length);
}

const changed = (read: number, length: number) =>
  new AppError("file_conflict", "the file changed while it was read", { details: { read, length } });

async function* nothing(): AsyncGenerator<Uint8Array> {}
