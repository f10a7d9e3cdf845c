/**
 * A version's files as a tar archive. As a `layer` it is one of OCI over the image: what was deleted is an empty file
 * `.wh.NAME`, a folder that hides the one below has a file `.wh..wh..opq`. As `overlay` it is what lies on the disk, with
 * the marks of overlayfs: device 0/0, attributes `trusted.overlay.*`.
 */
import { AppError } from "@mags/core";
import type { Inode } from "@mags/ext4";
import { END_OF_ARCHIVE, headerBytes, padding, type WrittenEntry } from "@mags/tar";
import { contentOf } from "./file-content.ts";
import { marksOf, type OverlayMarks } from "./overlay-marks.ts";
import { createWalkGuard, type FoundFile, isWhiteout, type UpperLayer, walkUpperLayer } from "./upper-layer.ts";

export type TarShape = "layer" | "overlay";

export interface TarOptions {
  readonly shape: TarShape;
  readonly signal: AbortSignal;
  /** Called for each path that the archive does not have as it is in the workspace. The path: one character a byte. */
  readonly onMissing: (path: string, why: string) => void;
}

/** As long as a path that a kernel takes. */
const MAX_PATH_BYTES = 4095;
/** Files with several names of which not all have come yet. */
const MAX_OPEN_LINKS = 4_000_000;
const OCI_MARK = ".wh.";
const OPAQUE = `${OCI_MARK}${OCI_MARK}.opq`;

/** @throws AppError `validation_failed` for a file system that is damaged, `chunk_corrupt`: what came till then is not the version. */
export async function* tarOf(layer: UpperLayer, options: TarOptions): AsyncGenerator<Buffer, void, void> {
  const { shape, signal, onMissing } = options;
  const { disk } = layer;
  const guard = createWalkGuard(disk);
  const names = createLinkNames();
  // However many small holes there are: the archive is no more than twice as large as the disk.
  let zerosLeft = disk.sizeBytes;

  async function* one(found: FoundFile, marks: OverlayMarks): AsyncGenerator<Buffer, void, void> {
    const { path, inode } = found;
    const entry = entryOf(found, marks.own);
    const first = names.take(found);
    if (first !== undefined) {
      yield headerBytes({ ...entry, type: "link", linkPath: first, size: 0, xattrs: new Map() });
    } else if (inode.type === "file") {
      const content = await contentOf(disk, inode, { zerosLeft, signal });
      zerosLeft -= content.zeros;
      guard.take(content.stored);
      const { size, sparseSize } = content;
      yield headerBytes({ ...entry, size, ...(sparseSize === undefined ? {} : { sparseSize }) });
      yield* content.bytes();
      yield padding(size);
    } else {
      const linkPath = inode.type === "symlink" ? await disk.readLink(inode, { signal }) : "";
      yield headerBytes({ ...entry, linkPath });
    }
    if (marks.opaque && shape === "layer") yield headerBytes(markOf(`${path}${path && "/"}${OPAQUE}`, inode));
  }

  const tooLong = ({ path }: FoundFile) => path.length >= MAX_PATH_BYTES;
  for await (const found of walkUpperLayer(layer, { signal, enter: (folder) => !tooLong(folder) })) {
    const { path, inode } = found;
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (tooLong(found)) onMissing(path, `is longer than ${MAX_PATH_BYTES} bytes`);
    else if (inode.type === "socket") onMissing(path, "is a socket, which archives do not have");
    else if (shape === "overlay") yield* one(found, { ...NO_MARKS, own: await disk.attributes(inode, { signal }) });
    else if (name.startsWith(OCI_MARK))
      onMissing(path, `begins with ${OCI_MARK}, which marks deleted files in a layer`);
    else if (isWhiteout(inode)) yield headerBytes(markOf(`${path.slice(0, -name.length)}${OCI_MARK}${name}`, inode));
    else {
      const marks = marksOf(await disk.attributes(inode, { signal }));
      if (marks.movedFrom !== undefined)
        onMissing(path, `was moved from ${marks.movedFrom} of the image: what did not change in it is only there`);
      if (marks.contentBelow) onMissing(path, "has its content in the image only");
      yield* one(found, marks);
    }
  }
  yield END_OF_ARCHIVE;
}

const NO_MARKS = { opaque: false, copiedUp: false, movedFrom: undefined, contentBelow: false };

function entryOf({ path, inode }: FoundFile, xattrs: ReadonlyMap<string, Buffer>): WrittenEntry {
  const folder = inode.type === "directory";
  return {
    path: folder ? `${path || "."}/` : path,
    type: inode.type as Exclude<typeof inode.type, "socket">, // those have been left out
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    ...timeOf(inode),
    linkPath: "",
    xattrs,
    size: 0,
    ...(inode.type === "character" || inode.type === "block" ? { device: inode.device } : {}),
  };
}

function markOf(path: string, inode: Inode): WrittenEntry {
  return {
    path,
    type: "file",
    mode: 0o600,
    uid: 0,
    gid: 0,
    ...timeOf(inode),
    linkPath: "",
    xattrs: new Map(),
    size: 0,
  };
}

const NANOS = 1_000_000_000n;

function timeOf({ mtimeNs }: Inode) {
  const mtimeNanos = Number(((mtimeNs % NANOS) + NANOS) % NANOS);
  return { mtime: Number((mtimeNs - BigInt(mtimeNanos)) / NANOS), mtimeNanos };
}

/** Which files have come under another name already. */
function createLinkNames() {
  const open = new Map<number, { readonly path: string; left: number }>();
  return {
    /** @returns the first name of a file that has come before. */
    take({ path, inode: { number, links, type } }: FoundFile): string | undefined {
      if (links < 2 || type === "directory") return undefined;
      const known = open.get(number);
      if (!known) {
        if (open.size >= MAX_OPEN_LINKS)
          throw new AppError(
            "not_supported",
            `more than ${MAX_OPEN_LINKS} files have several names: export the disk image`,
          );
        open.set(number, { path, left: links - 1 });
        return undefined;
      }
      known.left--;
      if (known.left === 0) open.delete(number);
      return known.path;
    },
  };
}
