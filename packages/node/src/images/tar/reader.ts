/**
 * Reads the table of contents of a tar archive that nobody vouches for: every size is checked against what is really
 * there, and what is kept in memory is bounded. File contents are not read; an entry says where they lie.
 */
import { type ByteSource, readAhead } from "./byte-source.ts";
import { BLOCK_BYTES, badArchive, isZero, MAX_PATH_BYTES, parseHeader, type RawHeader, shown } from "./header.ts";
import { type PaxFields, parsePax } from "./pax.ts";

export type TarEntryType = "file" | "directory" | "symlink" | "link" | "fifo" | "device";

export interface TarEntry {
  /** As the archive has it, one character a byte. */
  readonly path: string;
  readonly type: TarEntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Target of a symlink or link. */
  readonly linkPath: string;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** Where a file's content lies in the archive. */
  readonly offset: number;
  readonly size: number;
}

export interface TarLimits {
  /** Called for each entry with the bytes of its names and attributes; throws when there were too many. */
  count(metadataBytes: number): void;
}

const TYPES: Readonly<Record<string, TarEntryType>> = {
  "0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "3": "device",
  "4": "device",
  "5": "directory",
  "6": "fifo",
};
/** Longer than any path that a kernel takes, with room for attributes. */
const MAX_EXTENSION_BYTES = 256 * 1024;
const MAX_ID = 2 ** 32 - 2;
const MAX_MTIME = 2 ** 33;
const NO_PAX: PaxFields = { xattrs: new Map(), sparse: false };
const READ_AHEAD_BYTES = 64 * 1024;

/** @throws AppError `validation_failed` that says what is wrong with the archive, and where. */
export async function* readTar(source: ByteSource, limits: TarLimits): AsyncGenerator<TarEntry> {
  const read = readAhead(source, READ_AHEAD_BYTES);
  let pax = NO_PAX;
  let longName: string | undefined;
  let longLink: string | undefined;
  for (let at = 0; ; ) {
    const block = await read(at, BLOCK_BYTES);
    if (block.length < BLOCK_BYTES)
      throw badArchive(`it is cut short: it ends at byte ${source.length} without the blocks that end a tar archive`);
    if (isZero(block)) return;
    const header = parseHeader(block, at);
    const isExtension = "xgLK".includes(header.type);
    const size = sizeOf(header, isExtension ? NO_PAX : pax, at);
    const offset = at + BLOCK_BYTES;
    if (offset + size > source.length) throw badArchive(`it is cut short in the middle of ${shown(header.name)}`);
    at = offset + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;

    if (isExtension) {
      if (size > MAX_EXTENSION_BYTES)
        throw badArchive(`the extended header at byte ${offset} has ${size} bytes, more than ${MAX_EXTENSION_BYTES}`);
      const body = await source.read(offset, size);
      limits.count(size);
      if (header.type === "x") pax = parsePax(body, offset);
      if (header.type === "L") longName = untilZero(body);
      if (header.type === "K") longLink = untilZero(body);
      continue; // "g" describes the archive, not a file
    }
    const entry = entryOf(header, { pax, longName, longLink, offset, size });
    limits.count(entry.path.length + entry.linkPath.length);
    yield entry;
    pax = NO_PAX;
    longName = undefined;
    longLink = undefined;
  }
}

/** Where an entry has content. Links and folders have none, whatever their size field says. */
function sizeOf(header: RawHeader, pax: PaxFields, at: number): number {
  const size = "123456".includes(header.type) ? 0 : (pax.size ?? header.size);
  if (!Number.isSafeInteger(size) || size < 0) throw badArchive(`the header at byte ${at} has a bad size`);
  return size;
}

function entryOf(
  header: RawHeader,
  extra: {
    readonly pax: PaxFields;
    readonly longName: string | undefined;
    readonly longLink: string | undefined;
    readonly offset: number;
    readonly size: number;
  },
): TarEntry {
  const { pax, offset, size } = extra;
  const path = pax.path ?? extra.longName ?? header.name;
  const linkPath = pax.linkPath ?? extra.longLink ?? header.linkName;
  if (header.type === "S" || pax.sparse)
    throw badArchive(`${shown(path)} is stored as a sparse file: make the archive without --sparse`);
  const type = header.type === "0" && path.endsWith("/") ? "directory" : TYPES[header.type];
  if (!type) throw badArchive(`${shown(path)} is of the unknown type ${shown(header.type)}`);
  if (path.length > MAX_PATH_BYTES || linkPath.length > MAX_PATH_BYTES)
    throw badArchive(`${shown(path.slice(0, 80))}... has a name of more than ${MAX_PATH_BYTES} bytes`);
  const uid = pax.uid ?? header.uid;
  const gid = pax.gid ?? header.gid;
  for (const id of [uid, gid])
    if (!(id >= 0 && id <= MAX_ID)) throw badArchive(`${shown(path)} has an owner that cannot be: ${id}`);
  if (Number.isNaN(header.mode)) throw badArchive(`${shown(path)} has a bad mode`);
  const time = pax.mtime ?? header.mtime;
  const mtime = Number.isFinite(time) ? Math.min(Math.max(0, time), MAX_MTIME) : 0;
  const { mode } = header;
  return { path, type, mode, uid, gid, mtime, linkPath, xattrs: pax.xattrs, offset, size };
}

function untilZero(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString("latin1", 0, end < 0 ? body.length : end);
}
