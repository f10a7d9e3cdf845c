import type { ChangeBitmap } from "./block-graph.ts";

/** What to do with the bitmaps of a disk, all at once. */
export interface BitmapPlan {
  /** The bitmap that is left, and records; null when none is. */
  readonly kept: string | null;
  readonly enable: boolean;
  /** Their changes are added to `kept`. */
  readonly merge: readonly string[];
  /** Those that are merged among them. */
  readonly remove: readonly string[];
}

/**
 * Decides what is left of the bitmaps that a view, or one that was cut off, has left: one that tells of all changes since
 * what `wanted` is named after, or none, when that cannot be known. No change is lost; there may be more than there were.
 *
 * A view begins with one bitmap, adds the next, and stops the first when the next records as well. So when the wanted one
 * records and another does not, that is older, and what it knows is part of what the wanted one is named after. Else the
 * other may know of changes that the wanted one has missed.
 */
export function planBitmaps(bitmaps: readonly ChangeBitmap[], wanted: string | null): BitmapPlan {
  const target = bitmaps.find(({ name }) => name === wanted);
  const others = bitmaps.filter((bitmap) => bitmap !== target);
  const merged = target ? others.filter((other) => other.recording || !target.recording) : [];
  const remove = others.map(({ name }) => name);
  if (!target || target.inconsistent || merged.some(({ inconsistent }) => inconsistent))
    return { kept: null, enable: false, merge: [], remove: bitmaps.map(({ name }) => name) };
  return { kept: target.name, enable: !target.recording, merge: merged.map(({ name }) => name), remove };
}
