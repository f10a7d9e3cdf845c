import { Failure } from "../failure.ts";
import { below, lastName, meansContent } from "./place.ts";

/** What is at a place now. */
export type Found = "file" | "folder" | "other" | null;

/**
 * Where a file goes: into a folder that is there, under its own name, else to the very place.
 * @throws Failure when the place must be a folder and is none.
 */
export function fileTarget(source: string, target: string, found: Found): string {
  if (found === "folder") return below(target, lastName(source));
  if (target.endsWith("/"))
    throw new Failure(
      `${target} is ${found === null ? "not there" : "no folder"}`,
      "Leave out the slash at its end, or make the folder.",
    );
  return target;
}

export interface FolderTarget {
  readonly path: string;
  /** It takes the mode and time of the folder that is copied. */
  readonly whole: boolean;
}

/**
 * Where a folder goes: into a folder that is there, under its own name, unless only its content is meant; else it becomes
 * the place.
 * @throws Failure when something else is there.
 */
export function folderTarget(source: string, target: string, found: Found): FolderTarget {
  if (found === null) return { path: target, whole: true };
  if (found !== "folder") throw new Failure(`cannot copy the folder ${source} over ${target}, which is none`);
  if (meansContent(source)) return { path: target, whole: false };
  return { path: below(target, lastName(source)), whole: true };
}
