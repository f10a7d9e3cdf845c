/** Imports with the real tools of the runtime root that are told to end while these are at work; no microVM. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { NodeConfig } from "../../src/config.ts";
import { loadArtifacts } from "../../src/images/artifacts.ts";
import { prepareImport } from "../../src/images/prepare-import.ts";
import { tarFile } from "./make-tar.ts";

const ARTIFACTS = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";
const UID = 1_940_000_001;
const ZEROS = Buffer.alloc(512 * 1024 ** 2);

/** Processes that run as that uid. */
async function toolsAtWork(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    if (new RegExp(`^Uid:\\s+${UID}\\b`, "m").test(status) && !/^State:\s+Z/m.test(status)) found.push(pid);
  }
  return found;
}

describe("prepareImport", () => {
  let temp: TempDir;
  let runtime: RuntimeRoot;
  before(async () => {
    temp = await makeTempDir();
    ({ runtime } = await loadArtifacts(ARTIFACTS));
  });
  after(() => temp[Symbol.asyncDispose]());

  const shell = { path: "bin/sh", mode: 0o755, body: Buffer.from("a shell") };
  const cases: [string, () => Buffer, string][] = [
    ["unpacks gzip", () => gzipSync(ZEROS), "work/plain-1.tar"],
    ["unpacks zstd", () => zstdCompressSync(ZEROS), "work/plain-1.tar"],
    [
      "unpacks xz",
      () => {
        const { file, args } = toolCommand(runtime, "/usr/bin/xz", ["--stdout", "-0"]);
        return execFileSync(file, [...args], { input: ZEROS });
      },
      "work/plain-1.tar",
    ],
    [
      "makes the disk",
      () => tarFile([shell, { path: "noise", body: randomBytes(64 * 1024 ** 2) }]),
      "work/made/base.erofs",
    ],
  ];
  for (const [stage, archive, sign] of cases)
    it(`leaves nothing, and lets the next begin, when it is told to end while it ${stage}`, async () => {
      const file = join(temp.path, "archive");
      await writeFile(file, archive());
      const dataDirectory = join(temp.path, "data");
      const images = join(dataDirectory, "images");
      const options = { dataDirectory, artifactsFile: ARTIFACTS, config: NodeConfig.parse({ uid_base: UID }) };
      const builds = async () => (await readdir(images).catch(() => [])).filter((name) => name.startsWith("build-"));
      const ending = new AbortController();
      const reason = new Error("told to end");
      const preparing = prepareImport(options, file, { signal: ending.signal });
      preparing.catch(() => {}); // awaited below
      await waitFor(
        async () => {
          const [build = ""] = await builds();
          const files: string[] = await readdir(join(images, build), { recursive: true }).catch(() => []);
          return files.includes(sign);
        },
        { what: sign, deadlineMs: 20_000 },
      );
      ending.abort(reason);
      await assert.rejects(preparing, reason);
      assert.deepEqual(await builds(), []);
      await waitFor(async () => (await toolsAtWork()).length === 0, { what: "the end of its tools" });
      await writeFile(file, "no archive");
      await assert.rejects(
        prepareImport(options, file, { signal: new AbortController().signal }),
        /cannot be imported/,
      );
    });
});
