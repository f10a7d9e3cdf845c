/** Small guest trees made of the runtime root's own shell, and container archives made of trees. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";

const ARTIFACTS = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";
const LIBRARIES = "usr/lib/x86_64-linux-gnu";
/** `/bin/sh` and two programs, with the libraries they load. */
const SYSTEM = [
  ...["usr/bin/dash", "usr/bin/cat", "usr/bin/rm"],
  ...[`${LIBRARIES}/libc.so.6`, `${LIBRARIES}/ld-linux-x86-64.so.2`, "usr/lib64/ld-linux-x86-64.so.2"],
];

/** A tree in which scripts can run, without any of the mount points. */
export function makeTree(root: string): void {
  const { runtime } = JSON.parse(readFileSync(ARTIFACTS, "utf8")) as { runtime: string };
  for (const path of SYSTEM) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(join(runtime, path), join(root, path));
    chmodSync(join(root, path), 0o755);
  }
  symlinkSync("dash", join(root, "usr/bin/sh"));
  for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(root, name));
  mkdirSync(join(root, "etc"));
  writeFileSync(join(root, "etc/os-release"), "ID=tiny\n");
}

export function tarOf(tree: string): Buffer {
  return execFileSync("tar", ["--owner=0", "--group=0", "--numeric-owner", "-C", tree, "-cf", "-", "."], {
    maxBuffer: 256 * 1024 * 1024,
  });
}

const sha256 = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** An OCI layout with these layers, each a tar archive; compressed with gzip and zstd in turn. */
export function ociArchive(layers: readonly Buffer[]): Buffer {
  return inTree((root) => {
    const put = (bytes: Buffer, mediaType: string) => {
      const digest = sha256(bytes);
      mkdirSync(join(root, "blobs/sha256"), { recursive: true });
      writeFileSync(join(root, "blobs", digest.replace(":", "/")), bytes);
      return { mediaType, digest, size: bytes.length };
    };
    const putJson = (value: unknown, mediaType: string) => put(Buffer.from(JSON.stringify(value)), mediaType);
    const media = "application/vnd.oci.image";
    const config = putJson(
      { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: layers.map(sha256) } },
      `${media}.config.v1+json`,
    );
    const packed = layers.map((layer, n) =>
      n % 2 === 0
        ? put(gzipSync(layer), `${media}.layer.v1.tar+gzip`)
        : put(zstdCompressSync(layer), `${media}.layer.v1.tar+zstd`),
    );
    const manifest = putJson({ schemaVersion: 2, config, layers: packed }, `${media}.manifest.v1+json`);
    writeFileSync(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
    writeFileSync(join(root, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  });
}

/** What `docker save` wrote before it wrote OCI layouts. */
export function savedArchive(layers: readonly Buffer[]): Buffer {
  return inTree((root) => {
    layers.forEach((layer, n) => {
      mkdirSync(join(root, `layer${n}`));
      writeFileSync(join(root, `layer${n}/layer.tar`), layer);
    });
    const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: layers.map(sha256) } };
    writeFileSync(join(root, "config.json"), JSON.stringify(config));
    const names = layers.map((_, n) => `layer${n}/layer.tar`);
    writeFileSync(
      join(root, "manifest.json"),
      JSON.stringify([{ Config: "config.json", RepoTags: null, Layers: names }]),
    );
  });
}

function inTree(fill: (root: string) => void): Buffer {
  const root = mkdtempSync("/tmp/mags-guest-tree-");
  try {
    fill(root);
    return tarOf(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
