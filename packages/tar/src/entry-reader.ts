/**
 * Reads the headers of a tar archive that nobody vouches for: what is kept in memory is bounded, and what cannot be
 * understood is refused. Contents are the business of whoever reads the archive.
 */
import { BLOCK_BYTES, badArchive, isZero, MAX_PATH_BYTES, parseHeader, type RawHeader, shown } from "./header.ts";
import { type PaxFields, parsePax } from "./pax.ts";

export type TarEntryType = "file" | "directory" | "symlink" | "link" | "fifo" | "device";

export interface TarHeader {
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
  /** Of a file's content, which follows in as many blocks as it needs. */
  readonly size: number;
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

/** Understands the headers of one archive, in order. */
export interface EntryReader {
  /**
   * Takes the block where a header is. `extension`: its content, of `size` bytes, belongs to the next entry and is to be
   * given to `extension`. `at`: its place in the archive.
   * @throws AppError `validation_failed` that says what is wrong with the archive, and where.
   */
  header(
    block: Buffer,
    at: number,
  ):
    | { readonly kind: "end" }
    | { readonly kind: "extension"; readonly size: number }
    | { readonly kind: "entry"; readonly entry: TarHeader };
  extension(body: Buffer, at: number): void;
}

export function createEntryReader(): EntryReader {
  let pax = NO_PAX;
  let longName: string | undefined;
  let longLink: string | undefined;
  let extensionType = "";
  return {
    header(block, at) {
      if (isZero(block)) return { kind: "end" };
      const header = parseHeader(block, at);
      const isExtension = "xgLK".includes(header.type);
      const size = sizeOf(header, isExtension ? NO_PAX : pax, at);
      if (isExtension) {
        if (size > MAX_EXTENSION_BYTES)
          throw badArchive(
            `the extended header at byte ${at + BLOCK_BYTES} has ${size} bytes, more than ${MAX_EXTENSION_BYTES}`,
          );
        extensionType = header.type;
        return { kind: "extension", size };
      }
      const entry = entryOf(header, { pax, longName, longLink, size });
      pax = NO_PAX;
      longName = undefined;
      longLink = undefined;
      return { kind: "entry", entry };
    },
    extension(body, at) {
      if (extensionType === "x") pax = parsePax(body, at);
      if (extensionType === "L") longName = untilZero(body);
      if (extensionType === "K") longLink = untilZero(body);
      // "g" describes the archive, not a file
    },
  };
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
    readonly size: number;
  },
): TarHeader {
  const { pax, size } = extra;
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
  return { path, type, mode, uid, gid, mtime, linkPath, xattrs: pax.xattrs, size };
}

function untilZero(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString("latin1", 0, end < 0 ? body.length : end);
}
