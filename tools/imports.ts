/** What TypeScript files import, and the rules about it. */
import { posix } from "node:path";

export interface Import {
  readonly file: string;
  /** As written: `@mags/core`, `./x.ts`, `node:fs`. */
  readonly specifier: string;
  /** `import type` or `export type`: gone at run time. */
  readonly typeOnly: boolean;
}

const STATEMENT = /^\s*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s*)?"([^"]+)"/gm;
const CALL = /\bimport\(\s*"([^"]+)"\s*\)/g;

export function importsOf(file: string, text: string): readonly Import[] {
  const imports: Import[] = [];
  for (const [, type, specifier] of text.matchAll(STATEMENT))
    imports.push({ file, specifier: specifier ?? "", typeOnly: type !== undefined });
  for (const [, specifier] of text.matchAll(CALL)) imports.push({ file, specifier: specifier ?? "", typeOnly: false });
  return imports;
}

/** A kind of import that is not allowed, and why. Paths are from the root of the repository. */
export interface ForbiddenEdge {
  readonly why: string;
  /** Files the rule is about. */
  readonly from: (file: string) => boolean;
  /** The forbidden target: a package's name, `node:x`, or the path a relative import leads to. */
  readonly to: (target: string, edge: Import) => boolean;
}

/** One line for each forbidden import. */
export function violations(imports: readonly Import[], edges: readonly ForbiddenEdge[]): readonly string[] {
  return imports.flatMap((edge) => {
    const target = edge.specifier.startsWith(".")
      ? posix.join(posix.dirname(edge.file), edge.specifier)
      : edge.specifier;
    return edges
      .filter((rule) => rule.from(edge.file) && rule.to(target, edge))
      .map((rule) => `${edge.file} imports ${edge.specifier}: ${rule.why}`);
  });
}
