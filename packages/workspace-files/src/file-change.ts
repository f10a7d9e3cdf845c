/** What became of one path between two versions. */
import type { Inode, InodeType } from "@mags/ext4";
import { type ComparedFile, contentDiffers, type SameOnDisk } from "./content-differs.ts";
import { marksOf, type OverlayMarks } from "./overlay-marks.ts";
import { isWhiteout } from "./upper-layer.ts";

type Signal = { readonly signal: AbortSignal };

/** Of a path that is there before and after. Of a folder its time is not looked at: it changes with what is in it. */
export type ChangedPart = "type" | "content" | "target" | "mode" | "owner" | "time" | "attributes";

export interface FileChange {
  /** Without a slash at its beginning, one character a byte. */
  readonly path: string;
  readonly change: "added" | "removed" | "changed";
  /** Empty for what was added or removed, and for a file of the image that only one version has changed: the other does not have how it is. */
  readonly parts: readonly ChangedPart[];
  /** As it is now; of what was removed as it was. Null: a file of the image, of which the version has nothing. */
  readonly type: InodeType | null;
  /** Of files only. */
  readonly sizeBefore: number | null;
  readonly sizeAfter: number | null;
}

export interface Comparison extends Signal {
  readonly sameOnDisk: SameOnDisk;
  /** To be waited for after each small step. */
  readonly turn: () => Promise<void>;
}

/** @returns undefined when nothing changed that can be told. `imageBelow`: what `haveImageBelow` says of the folder that it is in. */
export async function changeOf(
  path: string,
  before: ComparedFile | undefined,
  after: ComparedFile | undefined,
  options: Comparison & { readonly imageBelow: boolean },
): Promise<FileChange | undefined> {
  const old = before && !isWhiteout(before.inode) ? before : undefined;
  const now = after && !isWhiteout(after.inode) ? after : undefined;
  if (old && now) {
    const parts = await changedParts(old, now, options);
    return parts.length === 0 ? undefined : { path, change: "changed", parts, ...sides(old.inode, now.inode) };
  }
  const one = old ?? now;
  if (one) {
    const fromImage = !(before && after) && options.imageBelow && isOfImage(await marks(one, options));
    // A folder of the image has to be there for what changed in it.
    if (fromImage && one.inode.type === "directory") return undefined;
    const change = fromImage ? "changed" : old ? "removed" : "added";
    return { path, change, parts: [], ...sides(old?.inode, now?.inode) };
  }
  if (before && after) return undefined;
  return { path, change: after ? "removed" : "added", parts: [], ...sides(undefined, undefined) };
}

/** The image has a file of that name, as far as can be told: one that was renamed says so under its new name, too. */
const isOfImage = ({ copiedUp, movedFrom }: OverlayMarks) => copiedUp && movedFrom === undefined;

/**
 * Whether the same folder of the image shows through this one before and after. Undefined: the upper layer has none, and
 * hides none.
 */
export async function haveImageBelow(
  before: ComparedFile | undefined,
  after: ComparedFile | undefined,
  options: Signal,
): Promise<boolean> {
  if ([before, after].some((file) => file && file.inode.type !== "directory")) return false;
  const [old, now] = [before && (await marks(before, options)), after && (await marks(after, options))];
  return !old?.opaque && !now?.opaque && old?.movedFrom === now?.movedFrom;
}

function sides(before: Inode | undefined, after: Inode | undefined) {
  const size = (inode: Inode | undefined) => (inode?.type === "file" ? inode.sizeBytes : null);
  return { type: (after ?? before)?.type ?? null, sizeBefore: size(before), sizeAfter: size(after) };
}

async function changedParts(before: ComparedFile, after: ComparedFile, options: Comparison): Promise<ChangedPart[]> {
  const [old, now] = [before.inode, after.inode];
  if (old.type !== now.type) return ["type"];
  const parts: ChangedPart[] = [];
  // Also when the inodes are equal: a guest's clock has steps of milliseconds. Equal chunks are not read.
  if (old.type === "file" && (old.sizeBytes !== now.sizeBytes || (await contentDiffers(before, after, options))))
    parts.push("content");
  // All else is in the inode, or changes the time in it at which anything of it was changed.
  if (old.number === now.number && old.raw.equals(now.raw)) return parts;
  if (old.type === "symlink" && (await target(before, options)) !== (await target(after, options)))
    parts.push("target");
  if (old.device.major !== now.device.major || old.device.minor !== now.device.minor) {
    if (old.type === "character" || old.type === "block") parts.push("target");
  }
  if (old.mode !== now.mode) parts.push("mode");
  if (old.uid !== now.uid || old.gid !== now.gid) parts.push("owner");
  if (old.type !== "directory" && old.mtimeNs !== now.mtimeNs) parts.push("time");
  if (!sameAttributes(await marks(before, options), await marks(after, options))) parts.push("attributes");
  return parts;
}

const target = ({ disk, inode }: ComparedFile, options: Signal) => disk.readLink(inode, options);
const marks = async ({ disk, inode }: ComparedFile, options: Signal) => marksOf(await disk.attributes(inode, options));

function sameAttributes({ own: before }: OverlayMarks, { own: after }: OverlayMarks): boolean {
  return before.size === after.size && [...before].every(([name, value]) => after.get(name)?.equals(value));
}
