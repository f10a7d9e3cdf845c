import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { END_OF_ARCHIVE, headerBytes, padding, type WrittenEntry } from "@mags/tar";
import { packTree } from "./pack-tree.ts";
import { unpackTree } from "./unpack-tree.ts";

let folder: string;
let skipped: string[];
beforeEach(async () => {
  folder = await mkdtemp("/tmp/mags-");
  skipped = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const onSkip = (path: string) => void skipped.push(path);
const bytes = (name: string) => Buffer.from(name, "latin1");

interface Made extends Partial<Omit<WrittenEntry, "size">> {
  readonly path: string;
  readonly content?: string;
}

async function* archive(...entries: Made[]): AsyncGenerator<Uint8Array> {
  for (const { content = "", ...entry } of entries) {
    const size = content.length;
    const rest = { type: "file", mode: 0o644, uid: 0, gid: 0, mtime: 1_000, linkPath: "", xattrs: new Map() } as const;
    yield headerBytes({ ...rest, ...entry, size }, "gnu");
    yield Buffer.concat([bytes(content), padding(size)]);
  }
  yield END_OF_ARCHIVE;
}

const unpack = (...entries: Made[]) => unpackTree(archive(...entries), at("to"), { whole: true, onSkip });

describe("packTree and unpackTree", () => {
  it("give back a tree with links, odd names, empty folders, modes and times", async () => {
    await mkdir(at("from/a/empty"), { recursive: true });
    const odd = ["-dash", "two  spaces", "new\nline", "\xff\xfe not utf8", "n".repeat(240)];
    for (const name of odd) await writeFile(Buffer.concat([bytes(`${at("from/a")}/`), bytes(name)]), name);
    await mkdir(at(`from/${"d".repeat(200)}`));
    await writeFile(at(`from/${"d".repeat(200)}/file`), "far");
    await link(at("from/a/-dash"), at("from/hard"));
    await symlink("../outside", at("from/dangling"));
    await symlink("a", at("from/to-folder"));
    await writeFile(at("from/program"), "#!/bin/sh\n", { mode: 0o755 });
    await chmod(at("from/a"), 0o555);
    execFileSync("mkfifo", [at("from/fifo")]);
    for (const name of ["from/program", "from/a"]) await utimes(at(name), 1_000_000_000, 1_000_000_000);
    await unpackTree(packTree(at("from"), { whole: true, onSkip }), at("to"), { whole: true, onSkip });
    assert.deepEqual(skipped, ["./fifo"]);
    execFileSync("rm", [at("from/fifo")]);
    const listing = (name: string) =>
      execFileSync("sh", [
        "-c",
        'cd "$1" && find . -mindepth 1 -printf "%P %y %m %l %T@\\n" | sed "s/\\.[0-9]*$//" | sort',
        "-",
        at(name),
      ]);
    assert.equal(listing("to").toString("latin1"), listing("from").toString("latin1"));
    execFileSync("diff", ["-r", "--no-dereference", at("from"), at("to")]);
    assert.equal((await lstat(at("to/hard"))).ino, (await lstat(at("to/a/-dash"))).ino);
    await chmod(at("from/a"), 0o755);
    await chmod(at("to/a"), 0o755);
  });
});

describe("unpackTree", () => {
  const nothingOutside = async () => assert.deepEqual(await readdir(folder), ["to"]);

  it("refuses names that lead out of the folder", async () => {
    for (const path of ["../out", "a/../../out", "/etc/out", "./../out", ".."]) {
      await assert.rejects(unpack({ path, content: "x" }), /leads out of the folder/, path);
      await assert.rejects(unpack({ path, type: "directory" }), /leads out of the folder/, path);
      await assert.rejects(unpack({ path: "l", type: "link", linkPath: path }), /leads out of the folder/, path);
    }
    await nothingOutside();
  });

  it("writes nothing through links", async () => {
    await mkdir(at("to"));
    const cases: Made[][] = [
      [
        { path: "l", type: "symlink", linkPath: ".." },
        { path: "l/out", content: "x" },
      ],
      [
        { path: "l", type: "symlink", linkPath: ".." },
        { path: "l/", type: "directory" },
      ],
      [
        { path: "l", type: "symlink", linkPath: folder },
        { path: "l/out/deep/", type: "directory" },
      ],
      [
        { path: "l", type: "symlink", linkPath: ".." },
        { path: "l/out", type: "symlink", linkPath: "x" },
      ],
      [
        { path: "l", type: "symlink", linkPath: "/etc" },
        { path: "h", type: "link", linkPath: "l/passwd" },
      ],
      [
        { path: "l", type: "symlink", linkPath: "/etc/passwd" },
        { path: "h", type: "link", linkPath: "l" },
      ],
      [
        { path: "d/", type: "directory" },
        { path: "d", type: "symlink", linkPath: ".." },
        { path: "d/out", content: "x" },
      ],
    ];
    for (const entries of cases) await assert.rejects(unpack(...entries), /in its way|which is no file/);
    assert.deepEqual((await readdir(folder)).sort(), ["to"]);
  });

  it("replaces a link rather than write to what it leads to", async () => {
    await mkdir(at("to"));
    await writeFile(at("secret"), "kept");
    await symlink("../secret", at("to/f"));
    await unpack(
      { path: "f", content: "new" },
      { path: "g", type: "symlink", linkPath: "../secret" },
      { path: "g", content: "g" },
    );
    assert.equal(await readFile(at("secret"), "utf8"), "kept");
    assert.equal(await readFile(at("to/f"), "utf8"), "new");
    assert.equal(await readFile(at("to/g"), "utf8"), "g");
    await unpack({ path: "g", type: "symlink", linkPath: "x" });
    assert.equal(await readlink(at("to/g")), "x");
  });

  it("takes over no bits that make a program act as its owner, and no devices", async () => {
    await unpack({ path: "s", mode: 0o6755, content: "x" }, { path: "f", type: "fifo" });
    assert.equal((await lstat(at("to/s"))).mode & 0o7777, 0o755);
    assert.deepEqual(skipped, ['"f"']);
  });

  it("leaves no part of a file behind when the archive is cut off", async () => {
    async function* cut(): AsyncGenerator<Uint8Array> {
      for await (const piece of archive({ path: "f", content: "x".repeat(2_000) })) {
        yield piece.subarray(0, 1_000);
        if (piece.length > 1_000) throw new Error("cut off");
      }
    }
    await assert.rejects(unpackTree(cut(), at("to"), { whole: true, onSkip }), /cut off/);
    assert.deepEqual(await readdir(at("to")), []);
  });
});
