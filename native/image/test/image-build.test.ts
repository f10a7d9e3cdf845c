import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";

const IMAGE = resolve(import.meta.dirname, "..");
const asRoot = process.getuid?.() === 0;
const LIBRARIES = ["log", "digest", "store", "work", "mirrors", "debian", "keep", "npm"];

/** The start of a script that has the functions of the build. */
const PRELUDE = `set -euo pipefail; shopt -s inherit_errexit
for library in ${LIBRARIES.join(" ")}; do . "${IMAGE}/lib/$library.sh"; done
`;

function bash(script: string) {
  return spawnSync("bash", ["-c", PRELUDE + script], { encoding: "utf8" });
}

function succeed(script: string): string {
  const result = bash(script);
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.trim();
}

function fail(script: string): string {
  const result = bash(script);
  assert.notEqual(result.status, 0, result.stdout);
  return result.stderr;
}

/** A flat repository of packages, each holding one file of its version; all but `mags-a` depend on that. */
function makeRepository(dir: string, packages: Readonly<Record<string, string>>): string {
  mkdirSync(dir, { recursive: true });
  const index: string[] = [];
  for (const [name, version] of Object.entries(packages)) {
    const tree = join(dir, `${name}.tree`);
    mkdirSync(join(tree, "DEBIAN"), { recursive: true });
    mkdirSync(join(tree, "usr/share/doc", name), { recursive: true });
    writeFileSync(join(tree, "usr/share/doc", name, "notes"), "long");
    writeFileSync(join(tree, `usr/share/${name}`), version);
    const depends = name === "mags-a" ? "" : "Depends: mags-a\n";
    const control = `Package: ${name}\nVersion: ${version}\nArchitecture: all\n${depends}Maintainer: nobody\nDescription: test\n`;
    writeFileSync(join(tree, "DEBIAN/control"), control);
    const file = `${name}_${version}_all.deb`;
    execFileSync("dpkg-deb", ["--build", "--root-owner-group", tree, join(dir, file)], { stdio: "ignore" });
    const hash = createHash("sha256")
      .update(readFileSync(join(dir, file)))
      .digest("hex");
    index.push(`${control}Filename: ./${file}\nSize: ${statSync(join(dir, file)).size}\nSHA256: ${hash}\n`);
  }
  writeFileSync(join(dir, "Packages"), index.join("\n"));
  return `deb [trusted=yes] copy:${dir} ./`;
}

describe("debian_tree", { skip: asRoot ? false : "needs root: it runs mmdebstrap" }, () => {
  const recipe = (dir: string) => {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "packages"), "mags-a # the first\n\n# a comment\nmags-b\n");
    writeFileSync(join(dir, "paths"), "exclude /usr/share/doc/*\n");
    return dir;
  };
  const build = (sources: string, from: string, out: string, lock = "") => `
    DEBIAN_SOURCES='${sources}'
    debian_tree '${from}' '${out}' '${out}.lock' '${lock}'
    settle_times '${out}'
    rm -rf '${out}'/{etc,var} # only what the packages hold
    digest_tree '${out}'`;

  it("gives the same digest for the same lock, and a list of the exact packages", async () => {
    await using temp = await makeTempDir();
    const sources = makeRepository(join(temp.path, "repo"), { "mags-a": "1.5-2", "mags-b": "3" });
    const from = recipe(join(temp.path, "recipe"));
    const [first, again] = [join(temp.path, "first"), join(temp.path, "again")];
    const digest = succeed(build(sources, from, first));
    assert.match(digest, /^[0-9a-f]{64}$/);
    assert.equal(readFileSync(`${first}.lock`, "utf8"), "mags-a=1.5-2\nmags-b=3\n");
    assert.equal(readFileSync(join(first, "usr/share/mags-a"), "utf8"), "1.5-2");
    assert.equal(existsSync(join(first, "usr/share/doc/mags-a/notes")), false);
    assert.equal(succeed(build(sources, from, again, `${first}.lock`)), digest);
  });

  it("refuses a lock that the mirror cannot meet", async () => {
    await using temp = await makeTempDir();
    const sources = makeRepository(join(temp.path, "repo"), { "mags-a": "1.6", "mags-b": "3" });
    const lock = join(temp.path, "lock");
    writeFileSync(lock, "mags-a=1.5-2\nmags-b=3\n");
    const stderr = fail(build(sources, recipe(join(temp.path, "recipe")), join(temp.path, "out"), lock));
    assert.match(stderr, /Version '1\.5-2' for 'mags-a' was not found/);
    assert.match(stderr, /error: mmdebstrap of recipe failed/);
  });

  it("refuses a lock that names less than gets installed", async () => {
    await using temp = await makeTempDir();
    const sources = makeRepository(join(temp.path, "repo"), { "mags-a": "1", "mags-b": "3" });
    const lock = join(temp.path, "lock");
    writeFileSync(lock, "mags-b=3\n");
    const stderr = fail(build(sources, recipe(join(temp.path, "recipe")), join(temp.path, "out"), lock));
    assert.match(stderr, /> mags-a=1\nerror: the packages differ from the lock/);
  });
});

describe("digest_tree", () => {
  it("sees names, contents, modes and links, but not times", async () => {
    await using temp = await makeTempDir();
    const tree = join(temp.path, "tree");
    const digests = succeed(`
      mkdir '${tree}'; cd '${tree}'
      echo one > a; ln -s a link; digest_tree .
      touch -d 2001-01-01 a; digest_tree .
      echo two > a; digest_tree .
      echo one > a; chmod 600 a; digest_tree .
      chmod 644 a; ln -sfn b link; digest_tree .
      ln -sfn a link; mv a c; digest_tree .
      mv c a; digest_tree .`).split("\n");
    assert.equal(digests[1], digests[0]);
    assert.equal(digests[6], digests[0]);
    assert.equal(new Set(digests).size, 5);
  });
});

describe("the store", () => {
  const open = (dir: string) => `store_open '${dir}/store'; store_lock\n`;
  const publish = (content: string) => `
    stage=$(store_stage thing); printf '${content}' > "$stage/file"
    store_publish thing recipe0123456789 "$(digest_file "$stage/file")" "$stage"`;

  it("finds a published result again by its recipe, with its digest", async () => {
    await using temp = await makeTempDir();
    const object = succeed(open(temp.path) + publish("content"));
    assert.equal(succeed(`store_open '${temp.path}/store'; store_find thing recipe0123456789`), object);
    const digest = createHash("sha256").update("content").digest("hex");
    assert.equal(readFileSync(join(object, "digest"), "utf8"), `sha256:${digest}\n`);
    assert.equal(bash(`store_open '${temp.path}/store'; store_find thing another-recipe00`).status, 1);
  });

  it("keeps an object that is built a second time, and lets a recipe lead to a new one", async () => {
    await using temp = await makeTempDir();
    const first = succeed(open(temp.path) + publish("one"));
    const inode = statSync(join(first, "file")).ino;
    assert.equal(succeed(open(temp.path) + publish("one")), first);
    assert.equal(statSync(join(first, "file")).ino, inode);
    const second = succeed(open(temp.path) + publish("two"));
    assert.notEqual(second, first);
    assert.equal(succeed(`store_open '${temp.path}/store'; store_find thing recipe0123456789`), second);
    assert.equal(readFileSync(join(first, "file"), "utf8"), "one");
  });

  it("sweeps what a killed build left, and never took it for a result", async () => {
    await using temp = await makeTempDir();
    const killed = bash(`${open(temp.path)} stage=$(store_stage thing); echo half > "$stage/file"; kill -9 $$`);
    assert.equal(killed.signal, "SIGKILL");
    assert.equal(readdirSync(join(temp.path, "store/tmp")).length, 1);
    assert.equal(bash(`store_open '${temp.path}/store'; store_find thing recipe0123456789`).status, 1);
    succeed(open(temp.path));
    assert.deepEqual(readdirSync(join(temp.path, "store/tmp")), []);
  });

  it("lets one build work at a time", async () => {
    await using temp = await makeTempDir();
    const log = join(temp.path, "log");
    const holder = spawn("bash", ["-c", `${PRELUDE}${open(temp.path)} echo in; read -r; echo first >> '${log}'`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    let said = "";
    holder.stdout.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
    await waitFor(() => said === "in\n", { what: "the first build to hold the lock" });
    const waiter = spawn("bash", ["-c", `${PRELUDE}${open(temp.path)} echo second >> '${log}'`], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaint = "";
    waiter.stderr.setEncoding("utf8").on("data", (text) => {
      complaint += text;
    });
    await waitFor(() => complaint.includes("another build is running"), { what: "the second build to say it waits" });
    const ended = new Promise((resolve) => waiter.once("exit", resolve));
    holder.stdin.end("\n");
    assert.equal(await ended, 0);
    assert.equal(readFileSync(log, "utf8"), "first\nsecond\n");
  });

  it("refuses a path that QEMU or the loader would misread", () => {
    for (const dir of ["/tmp/a,b", "/tmp/a:b", "/tmp/a b", "relative"])
      assert.match(fail(`store_open '${dir}'`), /error: the store/);
  });
});

describe("mirror_sources", () => {
  const withoutNetwork = `
    apt-get() { case "$*" in *"Label: Debian-Security"*) echo http://mirror.test/sec/ ;; *) echo http://mirror.test/deb/ ;; esac; }
    mirror_has() { case "$1 $2" in *absent*) return 1 ;; esac; }
  `;

  it("takes the host's Debian mirrors, with the suite of the images", () => {
    assert.deepEqual(succeed(`${withoutNetwork} mirror_sources`).split("\n"), [
      "deb http://mirror.test/deb trixie main",
      "deb http://mirror.test/deb trixie-updates main",
      "deb http://mirror.test/sec trixie-security main",
    ]);
  });

  it("uses Debian's own where the host has none", () => {
    const sources = succeed(`${withoutNetwork} apt-get() { :; }; mirror_sources`).split("\n");
    assert.equal(sources[0], "deb http://deb.debian.org/debian trixie main");
    assert.equal(sources[2], "deb http://deb.debian.org/debian-security trixie-security main");
  });

  it("prefers MAGS_DEBIAN_MIRROR, and does without security updates that are not there", () => {
    const result = bash(`${withoutNetwork} export MAGS_DEBIAN_MIRROR=http://other.test/debian/
      mirror_has() { [ "$2" = trixie-updates ]; }; mirror_sources`);
    assert.deepEqual(result.stdout.trim().split("\n"), [
      "deb http://other.test/debian trixie main",
      "deb http://other.test/debian trixie-updates main",
    ]);
    assert.match(result.stderr, /no security updates: http:\/\/other\.test\/debian-security has no trixie-security/);
  });
});

describe("keep_closure", () => {
  it("says which pattern matches nothing, and which kind of line it does not know", async () => {
    await using temp = await makeTempDir();
    mkdirSync(join(temp.path, "tree"));
    const keep = (lines: string) => `
      printf '${lines}' > '${temp.path}/keep'
      keep_closure '${temp.path}/tree' '${temp.path}/keep' '${temp.path}/out'`;
    assert.match(fail(keep("data usr/bin/nothing*\\n")), /nothing in the tree matches 'usr\/bin\/nothing\*'/);
    writeFileSync(join(temp.path, "tree/file"), "");
    assert.match(fail(keep("datum file\\n")), /unknown kind of line 'datum'/);
  });
});
