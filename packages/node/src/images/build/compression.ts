/** Undoes the compression of an archive or layer into a file, never more than is allowed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { messageOf } from "@mags/core";
import { launchCommand, type RuntimeRoot } from "@mags/runtime-root";
import { badArchive } from "@mags/tar";
import { type ByteSource, bytesOf } from "../tar/byte-source.ts";
import { zstdFrames } from "./zstd-frames.ts";

export type Compression = "none" | "gzip" | "zstd" | "xz";

const MAGIC: readonly { readonly bytes: Buffer; readonly is: Compression | "bzip2" }[] = [
  { bytes: Buffer.from([0x1f, 0x8b]), is: "gzip" },
  { bytes: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), is: "zstd" },
  // A frame to skip may come first, of any of 16 kinds.
  ...Array.from({ length: 16 }, (_, kind) => ({
    bytes: Buffer.from([0x50 + kind, 0x2a, 0x4d, 0x18]),
    is: "zstd" as const,
  })),
  { bytes: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]), is: "xz" },
  { bytes: Buffer.from("BZh"), is: "bzip2" },
];
const XZ_MEMORY = "512MiB";

/** @throws AppError `validation_failed` for one that is not supported. */
export async function compressionOf(source: ByteSource): Promise<Compression> {
  const head = await source.read(0, 8);
  const found = MAGIC.find(({ bytes }) => head.subarray(0, bytes.length).equals(bytes))?.is ?? "none";
  if (found === "bzip2") throw badArchive("it is compressed with bzip2: use gzip, zstd or xz");
  return found;
}

export interface DecompressDeps {
  readonly runtime: RuntimeRoot;
  /** Programs that read the archive run jailed as this uid. */
  readonly uid: number;
}

/** Counts what an import writes and holds; shared by all its parts. */
export interface ByteBudget {
  /** @throws AppError `validation_failed` when it is used up. */
  take(bytes: number): void;
}

/** Writes the plain bytes to `target`. @throws AppError `validation_failed` when the data are damaged or too many. */
export async function decompress(
  deps: DecompressDeps,
  source: ByteSource,
  options: {
    readonly compression: Exclude<Compression, "none">;
    readonly target: string;
    readonly budget: ByteBudget;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { compression, target, budget, signal } = options;
  const counted = new Transform({
    transform(piece: Buffer, _encoding, done) {
      try {
        budget.take(piece.length);
        done(null, piece);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const written = createWriteStream(target, { flags: "wx", mode: 0o600 });
  if (compression === "xz") return await pipeline(unxz(deps, source), counted, written, { signal });
  const decoding =
    compression === "gzip"
      ? pipeline(bytesOf(source), createGunzip(), counted, written, { signal })
      : pipeline(unzstd(source), counted, written, { signal });
  await decoding.catch((error: unknown) => {
    if (!/^(Z|ZSTD)_/.test((error as NodeJS.ErrnoException).code ?? "")) throw error;
    throw badArchive(`its ${compression} data are damaged or cut short: ${messageOf(error)}`);
  });
}

async function* unzstd(source: ByteSource): AsyncGenerator<Buffer> {
  for await (const frame of zstdFrames(source)) {
    const decoder = createZstdDecompress();
    const feeding = pipeline(bytesOf(frame), decoder);
    feeding.catch(() => {}); // awaited below
    for await (const piece of decoder) yield piece as Buffer;
    await feeding;
  }
}

async function* unxz({ runtime, uid }: DecompressDeps, source: ByteSource): AsyncGenerator<Buffer> {
  const command = launchCommand(runtime, {
    program: "/usr/bin/xz",
    args: ["--decompress", "--stdout", `--memlimit-decompress=${XZ_MEMORY}`],
    binds: [],
    uid,
    gid: uid,
    env: {},
  });
  const child = spawn(command.file, [...command.args], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  ended.catch(() => {}); // awaited below
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-1000);
  });
  const feeding = pipeline(bytesOf(source), child.stdin).catch(() => {}); // its exit code tells
  try {
    for await (const piece of child.stdout) yield piece as Buffer;
    await feeding;
    const [code] = await ended;
    if (code !== 0) throw badArchive(`its xz data are damaged or cut short: ${errors.trim() || "no message"}`);
  } finally {
    child.kill("SIGKILL");
  }
}
