/** What every guest needs of its image, and what the node wants to know of it. */
import { AppError } from "@mags/core";
import type { ByteSource } from "../tar/byte-source.ts";
import type { TarLimits } from "../tar/reader.ts";
import { createDirectory, type Directory, ensureDirectory, findNode } from "./tree.ts";

/** Where the agent mounts, and where scripts begin; made where an archive leaves them out. */
const DIRECTORIES: readonly { readonly name: string; readonly mode: number }[] = [
  { name: "dev", mode: 0o755 },
  { name: "etc", mode: 0o755 },
  { name: "proc", mode: 0o555 },
  { name: "root", mode: 0o700 },
  { name: "run", mode: 0o755 },
  { name: "sys", mode: 0o555 },
  { name: "tmp", mode: 0o1777 },
  { name: "var", mode: 0o755 },
];
const CA_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const MAX_CA_BUNDLE_BYTES = 8 * 1024 * 1024;
const ANY_EXECUTE = 0o111;

/** @throws AppError `validation_failed` when no script could run in it. */
export function requireShell(root: Directory): void {
  const shell = findNode(root, "/bin/sh")?.node;
  if (shell?.kind !== "file" || (shell.attributes.mode & ANY_EXECUTE) === 0)
    throw new AppError(
      "validation_failed",
      "it has no /bin/sh that can be run: scripts need a shell (is it the tree of a whole system, with bin/ at its top?)",
    );
}

/** A symlink in such a place gives way, so that the agent's mounts lie where they belong. */
export function addMountPoints(root: Directory, limits: TarLimits): void {
  for (const { name, mode } of DIRECTORIES) {
    const here = root.children.get(name);
    if (here?.kind === "directory") continue;
    if (here?.kind === "symlink" && ["etc", "root", "var"].includes(name)) ensureDirectory(root, [name], limits);
    else root.children.set(name, createDirectory(mode));
  }
}

export interface CaBundle {
  /** Where it really is in the guest, behind all symlinks. */
  readonly path: string;
  readonly content: Buffer;
}

/** The certificates that programs of this image trust. */
export async function readCaBundle(root: Directory, layers: readonly ByteSource[]): Promise<CaBundle | undefined> {
  for (const candidate of CA_BUNDLES) {
    const found = findNode(root, candidate);
    if (found?.node.kind !== "file") continue;
    const { layer, offset, size } = found.node.content;
    if (size === 0 || size > MAX_CA_BUNDLE_BYTES) continue;
    const content = await layers[layer]?.read(offset, size);
    if (content) return { path: found.path, content };
  }
  return undefined;
}
