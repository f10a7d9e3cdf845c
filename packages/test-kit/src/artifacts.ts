import { readFileSync } from "node:fs";

const DEFAULT_PATH = "/var/cache/mags/artifacts.json";

/** What the image recipes built, with absolute paths. */
export interface Artifacts {
  /** The tree with QEMU, PostgreSQL and the tools of the node. */
  readonly runtime: string;
  readonly launcher: string;
  readonly boot: { readonly kernel: string; readonly initramfs: string; readonly kernelVersion: string };
  readonly images: Readonly<
    Record<string, { readonly base: string; readonly digest: string; readonly caBundle: string }>
  >;
  readonly seedDisk: string;
}

/** Finds the artifacts by `MAGS_ARTIFACTS`, else where the recipes leave them. Throws when they were not built. */
export function findArtifacts(): Artifacts {
  const path = process.env.MAGS_ARTIFACTS ?? DEFAULT_PATH;
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new Error(`no artifacts at ${path}: build them with native/image/build.sh, or run ./test`, { cause });
  }
}
