import { Failure } from "../failure.ts";

/** One end of a copy: a path of this machine, or one in the VM of a job. */
export type Place =
  | { readonly kind: "here"; readonly path: string }
  | { readonly kind: "job"; readonly job: string; readonly path: string };

const JOB_PLACE = /^([A-Za-z0-9][A-Za-z0-9._-]*):(.*)$/s;

/** A path of this machine with a colon in its first part is written with `./` before it. */
export function parsePlace(text: string): Place {
  if (text === "") throw new Failure("an empty path is no file or folder");
  const [, job, path] = JOB_PLACE.exec(text) ?? [];
  if (job === undefined) return { kind: "here", path: text };
  return { kind: "job", job, path: path || "." };
}

/** The last part of a path; empty when that is no name, as in `/`, `..` and `a/.`. */
export function lastName(path: string): string {
  const name = /([^/]*)\/*$/.exec(path)?.[1] ?? "";
  return name === "." || name === ".." ? "" : name;
}

/** `a/.` means what is in `a`. */
export function meansContent(path: string): boolean {
  return lastName(path) === "";
}

export function below(folder: string, name: string): string {
  return folder.endsWith("/") ? folder + name : `${folder}/${name}`;
}
