/** What the installation brings: runtime root, kernel, guest images. Made by `native/image/build.sh`. */
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, messageOf } from "@mags/core";
import type { RuntimeRoot } from "@mags/runtime-root";
import { z } from "zod";
import { Digest, type Image } from "./image.ts";

const Path = z
  .string()
  .regex(/^\/[^,:]*$/, "must be an absolute path without commas and colons: they would end a QEMU option");

const ArtifactsFile = z.object({
  runtime: Path,
  launcher: Path,
  boot: z.object({ kernel: Path, initramfs: Path, kernelVersion: z.string() }),
  images: z.record(z.string(), z.object({ base: Path, digest: Digest, caBundle: Path })),
  seedDisk: Path,
  digests: z.object({ runtime: Digest, boot: Digest }),
});

/** Where the images of the installation, which are Debian's, have their certificates. */
const GUEST_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt";

export interface Artifacts {
  readonly runtime: RuntimeRoot;
  readonly runtimeDigest: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly bootDigest: string;
  readonly images: ReadonlyMap<string, Image>;
  /** An empty 2 GiB disk. */
  readonly seedDisk: string;
}

export async function loadArtifacts(path: string): Promise<Artifacts> {
  let file: z.infer<typeof ArtifactsFile>;
  try {
    file = ArtifactsFile.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    throw new AppError("internal", `${path} does not describe an installation: ${messageOf(error)}`, { cause: error });
  }
  return {
    runtime: { dir: file.runtime, launcher: file.launcher },
    runtimeDigest: file.digests.runtime,
    kernel: file.boot.kernel,
    initramfs: file.boot.initramfs,
    bootDigest: file.digests.boot,
    seedDisk: file.seedDisk,
    images: new Map(
      Object.entries(file.images).map(([name, { base, digest, caBundle }]) => [
        name,
        { name, directory: dirname(base), digest, caBundle: { file: caBundle, guestPath: GUEST_CA_BUNDLE } },
      ]),
    ),
  };
}

/** The runtime root of an installation. */
export async function runtimeOf(artifactsFile: string): Promise<RuntimeRoot> {
  return (await loadArtifacts(artifactsFile)).runtime;
}
