/** Imports with the real tools of the runtime root; no microVM. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { loadArtifacts } from "../../src/images/artifacts.ts";
import { buildImage } from "../../src/images/build/build-image.ts";
import { type MadeEntry, tarFile } from "./make-tar.ts";

const ARTIFACTS = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";
const UID = 1_940_000_000;
const LIMITS = { maxBytes: 64 * 1024 ** 2, maxEntries: 5000 };
const NEVER = new AbortController().signal;
const SHELL: MadeEntry[] = [
  { path: "usr/bin/", type: "5", mode: 0o755 },
  { path: "usr/bin/dash", body: Buffer.from("a shell"), mode: 0o755 },
  { path: "usr/bin/sh", type: "2", linkPath: "dash" },
  { path: "bin", type: "2", linkPath: "usr/bin" },
];

let temp: TempDir;
let runtime: RuntimeRoot;
before(async () => {
  temp = await makeTempDir();
  ({ runtime } = await loadArtifacts(ARTIFACTS));
});
after(() => temp[Symbol.asyncDispose]());

let number = 0;
async function build(content: Buffer | readonly MadeEntry[], limits = LIMITS) {
  const file = join(temp.path, `archive-${++number}.tar`);
  const directory = await mkdtemp(join(temp.path, "build-"));
  await writeFile(file, Buffer.isBuffer(content) ? content : tarFile(content));
  return { directory, draft: await buildImage({ runtime, uid: UID }, { file, directory, limits, signal: NEVER }) };
}

async function extracted(directory: string): Promise<string> {
  const tree = join(directory, "tree");
  await mkdir(tree);
  const command = toolCommand(runtime, "/usr/bin/fsck.erofs", [`--extract=${tree}`, join(directory, "base.erofs")]);
  execFileSync(command.file, [...command.args], { stdio: "pipe" });
  return tree;
}

/** A frame of zstd without data (RFC 8878, 3.1.2). */
function skippable(bytes: number, kind = 0): Buffer {
  const frame = Buffer.alloc(8 + bytes, 0xa5);
  frame.writeUInt32LE(0x184d2a50 + kind, 0);
  frame.writeUInt32LE(bytes, 4);
  return frame;
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

interface OciParts {
  readonly layers: readonly Buffer[];
  readonly architecture?: string;
  /** Changes files before they are archived. */
  readonly change?: (files: Map<string, Buffer>) => void;
}

function oci({ layers, architecture = "amd64", change }: OciParts): Buffer {
  const files = new Map<string, Buffer>();
  const put = (bytes: Buffer) => {
    files.set(`blobs/sha256/${sha256(bytes)}`, bytes);
    return {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: `sha256:${sha256(bytes)}`,
      size: bytes.length,
    };
  };
  const json = (value: unknown) => put(Buffer.from(JSON.stringify(value)));
  const config = json({ architecture, os: "linux" });
  const manifest = json({ schemaVersion: 2, config, layers: layers.map(put) });
  const attestation = { ...json({}), platform: { architecture: "unknown", os: "unknown" } };
  const inner = {
    ...json({ manifests: [manifest, attestation] }),
    mediaType: "application/vnd.oci.image.index.v1+json",
  };
  files.set("oci-layout", Buffer.from("{}"));
  files.set("index.json", Buffer.from(JSON.stringify({ manifests: [inner] })));
  change?.(files);
  return tarFile([...files].map(([path, body]) => ({ path, body })));
}

describe("buildImage", () => {
  it("makes a disk with the archive's files, owners and links, and adds the mount points it lacks", async () => {
    const { directory, draft } = await build([
      ...SHELL,
      { path: "etc/ssl/certs/ca-certificates.crt", body: Buffer.from("certificates") },
      { path: "srv/owned", body: Buffer.alloc(100_000, 5), uid: 12, gid: 34, mode: 0o640 },
      { path: "srv/also", type: "1", linkPath: "srv/owned" },
      { path: "dev/null", type: "3" },
    ]);
    const tree = await extracted(directory);
    const owned = await stat(join(tree, "srv/owned"));
    assert.deepEqual([owned.uid, owned.gid, owned.mode & 0o777, owned.size], [12, 34, 0o640, 100_000]);
    assert.equal(owned.ino, (await stat(join(tree, "srv/also"))).ino);
    assert.deepEqual(await readdir(join(tree, "dev")), []);
    assert.equal((await stat(join(tree, "tmp"))).mode & 0o7777, 0o1777);
    for (const name of ["proc", "sys", "run", "root"]) assert.ok((await stat(join(tree, name))).isDirectory());
    const disk = await readFile(join(directory, "base.erofs"));
    assert.deepEqual([draft.digest, draft.sizeBytes], [`sha256:${sha256(disk)}`, disk.length]);
    assert.deepEqual([draft.devicesLeftOut, draft.source.kind], [1, "tree"]);
    assert.equal(draft.caBundle, "/etc/ssl/certs/ca-certificates.crt");
    assert.equal(await readFile(join(directory, "ca-certificates.crt"), "utf8"), "certificates");
    assert.deepEqual((await readdir(directory)).toSorted(), [
      "base.erofs",
      "ca-certificates.crt",
      "draft.json",
      "tree",
    ]);
  });

  it("makes the same image of the same files, however they are packed", async () => {
    const layer = tarFile(SHELL);
    const saved = [
      {
        path: "manifest.json",
        body: Buffer.from('[{"Config":"c.json","RepoTags":["x:1"],"Layers":["one/layer.tar"]}]'),
      },
      { path: "c.json", body: Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux" })) },
      { path: "one/layer.tar", type: "2", linkPath: "../two/layer.tar" },
      { path: "two/layer.tar", body: layer },
    ];
    const packed = [
      layer,
      gzipSync(layer),
      zstdCompressSync(layer),
      Buffer.concat([zstdCompressSync(layer.subarray(0, 700)), zstdCompressSync(layer.subarray(700))]),
      Buffer.concat([skippable(3), zstdCompressSync(layer)]),
      oci({ layers: [zstdCompressSync(layer)] }),
      tarFile(saved),
    ];
    const digests = new Set<string>();
    for (const bytes of packed) digests.add((await build(bytes)).draft.digest);
    assert.equal(digests.size, 1);
  });

  it("refuses archives that make no image of this machine, with the reason", async () => {
    const layer = tarFile(SHELL);
    const cases: [Buffer, RegExp][] = [
      [tarFile([{ path: "etc/passwd" }]), /no \/bin\/sh that can be run/],
      [tarFile([{ path: "bin/sh", mode: 0o644 }]), /no \/bin\/sh that can be run/],
      [tarFile([{ path: "bin/sh", type: "2", linkPath: "../../../../../../bin/sh" }]), /no \/bin\/sh/],
      [oci({ layers: [layer], architecture: "arm64" }), /an image for linux\/arm64; VMs here are linux\/amd64/],
      [oci({ layers: [] }), /without layers/],
      [
        oci({ layers: [layer], change: (files) => void files.delete(`blobs/sha256/${sha256(layer)}`) }),
        /does not hold it/,
      ],
      [
        oci({ layers: [layer], change: (files) => void files.set(`blobs/sha256/${sha256(layer)}`, tarFile([])) }),
        /damaged: a part that should be/,
      ],
      [
        oci({ layers: [layer], change: (files) => void files.set("index.json", Buffer.from("{")) }),
        /index\.json is not JSON/,
      ],
      [
        oci({ layers: [layer], change: (files) => void files.set("index.json", Buffer.from("{}")) }),
        /index\.json is not what it should be: manifests/,
      ],
      [Buffer.concat([zstdCompressSync(layer), Buffer.from("more")]), /zstd data are damaged or cut short: .*no frame/],
      [oci({ layers: [Buffer.from("BZh91AY")] }), /bzip2: use gzip, zstd or xz/],
      [
        tarFile([
          { path: "manifest.json", body: Buffer.from('[{"Config":"a","Layers":[]},{"Config":"a","Layers":[]}]') },
        ]),
        /holds 2 images/,
      ],
    ];
    for (const [bytes, message] of cases) await assert.rejects(build(bytes), { code: "validation_failed", message });
  });

  it("ends early when an archive unpacks to more than is allowed, has too many entries or stretches its paths", async () => {
    const zeros = gzipSync(Buffer.alloc(LIMITS.maxBytes + 1));
    const many = Array.from({ length: LIMITS.maxEntries + 1 }, (_, n) => ({ path: `f${n}` }));
    const layer = gzipSync(tarFile([...SHELL, { path: "big", body: Buffer.alloc(40 * 1024 ** 2) }]));
    const again = gzipSync(tarFile([{ path: "big2", body: Buffer.alloc(40 * 1024 ** 2) }]));
    const hop = (n: number): MadeEntry => ({
      path: `s${n}`,
      type: "2",
      linkPath: `${n > 0 ? `s${n - 1}/` : ""}${"d/".repeat(40)}`,
    });
    const stretched = [...SHELL, ...Array.from({ length: 60 }, (_, n) => [hop(n), { path: `s${n}/x` }]).flat()];
    // Folders that no entry is about: the few entries are far below the limit, the tree is not.
    const implied = Array.from({ length: 10 }, (_, n) => ({ path: "x", pax: { path: `${n}/${"d/".repeat(1000)}x` } }));
    const cases: [Buffer, RegExp][] = [
      [zeros, /takes more than 64 MiB unpacked: .*max_size_mb/],
      [oci({ layers: [layer, again] }), /takes more than 64 MiB unpacked/],
      [tarFile(many), /more than 5000 entries: .*max_entries/],
      [tarFile([...SHELL, ...implied]), /more than 5000 entries: .*max_entries/],
      [tarFile(stretched), /lead in a circle|more than 4095 bytes/],
    ];
    for (const [bytes, message] of cases) await assert.rejects(build(bytes), { code: "validation_failed", message });
  });

  it("says so when the disk is full", async () => {
    const place = join(temp.path, "small");
    await mkdir(place);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m,mode=755", "none", place]);
    try {
      const file = join(temp.path, "large.tar");
      const noise = createHash("sha256").update("seed").digest();
      const body = Buffer.concat(
        Array.from({ length: 100_000 }, (_, n) => createHash("sha256").update(noise).update(String(n)).digest()),
      );
      await writeFile(file, tarFile([...SHELL, { path: "noise", body }]));
      await writeFile(`${file}.gz`, gzipSync(await readFile(file)));
      for (const archive of [file, `${file}.gz`]) {
        const directory = await mkdtemp(join(place, "build-"));
        const building = buildImage({ runtime, uid: UID }, { file: archive, directory, limits: LIMITS, signal: NEVER });
        await assert.rejects(building, { code: "unavailable", message: /no space is left on the disk of/ });
        await rm(directory, { recursive: true });
      }
    } finally {
      execFileSync("umount", [place]);
    }
  });
});
