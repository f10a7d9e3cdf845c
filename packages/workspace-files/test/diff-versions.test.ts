import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { createSeededRandom, debugfs, makeExt4Image, makeTempDir, seedFrom } from "@mags/test-kit";
import { diffVersions } from "../src/index.ts";
import { walkUpperLayer } from "../src/upper-layer.ts";
import { addFolder, entriesLike, hostFile, makeDisk, openDisk, signal, versionOf } from "./harness.ts";

/** Lines `+ path`, `- path`, `path: parts`. */
async function diff(before: string, after: string): Promise<string[]> {
  const options = { limit: 100_000, signal };
  const { changes, more } = await diffVersions(await versionOf(before), await versionOf(after), options);
  assert.equal(more, false);
  return changes.map(({ path, change, parts }) =>
    change === "changed" ? `${path}: ${parts.join(" ")}` : `${change === "added" ? "+" : "-"} ${path}`,
  );
}

describe("diffVersions", () => {
  it("tells what was added, removed and changed, and how", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    const one = await hostFile(`${dir.path}/one`, "one");
    const two = await hostFile(`${dir.path}/two`, "two");
    const names = ["same", "content", "mode", "owner", "time", "attribute", "type", "gone"];
    const writes = names.map((name) => `write ${one} ${name}`);
    await makeDisk(
      before,
      ...writes,
      "symlink link a",
      "mknod unhidden c 0 0",
      "mkdir tree",
      "cd tree",
      `write ${one} leaf`,
    );
    await copyFile(before, after);
    await debugfs(
      after,
      "cd up",
      ...["rm content", `write ${two} content`, "sif mode mode 0100600", "sif owner uid 7", "sif time mtime @5"],
      ...["ea_set attribute user.a b", "rm type", "mkdir type", "rm gone", "rm link", "symlink link b"],
      ...["rm unhidden", `write ${one} unhidden`, "mknod hidden c 0 0", `write ${one} new`],
      ...[`write ${one} upper`, "ea_set upper trusted.overlay.origin x", "sif tree mtime @5"],
      ...["mkdir other", "cd other", `write ${one} leaf`],
    );
    // What was written again may have got another time.
    assert.deepEqual(
      (await diff(before, after)).map((line) => line.replace(/ time$/, (end) => (line.startsWith("time") ? end : ""))),
      [
        "attribute: attributes",
        "content: content",
        "- gone",
        "- hidden",
        "link: target",
        "mode: mode",
        "+ new",
        "+ other",
        "+ other/leaf",
        "owner: owner",
        "time: time",
        "type: type",
        "+ unhidden",
        "upper: ",
      ],
    );
    assert.deepEqual(await diff(before, before), []);
  });

  it("names no folder of the image that only one version has something of, whichever comes first", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    const one = await hostFile(`${dir.path}/one`, "one");
    const folder = (name: string) => [`mkdir ${name}`, `ea_set ${name} trusted.overlay.origin x`];
    await makeDisk(before, `write ${one} a`);
    await copyFile(before, after);
    await debugfs(
      after,
      ...["cd up", ...folder("moved"), "ea_set moved trusted.overlay.redirect /opt", ...folder("var"), "cd var"],
      ...[`write ${one} conf`, "ea_set conf trusted.overlay.origin x", ...folder("log"), "cd log"],
      ...["mkdir new", "cd new", `write ${one} b`],
    );
    const news = ["moved", "var/conf: ", "var/log/new", "var/log/new/b"];
    const lines = (sign: string) => news.map((path) => (path.endsWith(": ") ? path : `${sign} ${path}`));
    assert.deepEqual(await diff(before, after), lines("+"));
    assert.deepEqual(await diff(after, before), lines("-"));
  });

  it("tells what goes and comes with a folder of the image that is hidden, replaced or elsewhere", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    const one = await hostFile(`${dir.path}/one`, "one");
    const names = ["gone", "file", "opaque", "moved"];
    const made = (name: string) => [`mkdir ${name}`, `ea_set ${name} trusted.overlay.origin x`];
    const filled = names.flatMap((name) => [
      ...[...made(name), `cd ${name}`, ...made("etc"), "cd etc", `write ${one} conf`],
      ...["ea_set conf trusted.overlay.origin x", "cd ../.."],
    ]);
    await makeDisk(before, ...filled);
    await makeDisk(
      after,
      ...["mknod gone c 0 0", `write ${one} file`, "mkdir opaque", "ea_set opaque trusted.overlay.opaque y"],
      ...["mkdir moved", "ea_set moved trusted.overlay.redirect /opt"],
    );
    const within = (sign: string, name: string) => [`${sign} ${name}/etc`, `${sign} ${name}/etc/conf`];
    const lines = (sign: string) => [
      ...["file: type", ...within(sign, "file"), `${sign} gone`, ...within(sign, "gone")],
      ...[...within(sign, "moved"), ...within(sign, "opaque")],
    ];
    assert.deepEqual(await diff(before, after), lines("-"));
    assert.deepEqual(await diff(after, before), lines("+"));
  });

  it("finds what a comparison of the trees finds, whatever the limit", async () => {
    const seed = seedFrom(process.env.MAGS_SEED);
    const random = createSeededRandom(seed);
    await using dir = await makeTempDir();
    const tree = new Map<string, string>();
    const images = [`${dir.path}/before`, `${dir.path}/after`] as const;
    const from = `${dir.path}/from`;
    await mkdir(`${from}/up`, { recursive: true });
    const folders = ["", "a", "a/b", "a.b", "ü", "z"];
    for (const folder of folders) await mkdir(`${from}/up/${folder}`, { recursive: true });
    const versions: Map<string, string>[] = [];
    for (const image of images) {
      for (let n = 0; n < 120; n++) {
        const path = `${random.pick(folders)}/f${random.between(0, 40)}`.replace(/^\//, "");
        const file = `${from}/up/${path}`;
        if (random.chance(0.3)) {
          await rm(file, { force: true });
          tree.delete(path);
          continue;
        }
        const content = random.bytes(random.pick([3, 5_000, 200_000]));
        if (random.chance(0.2)) content.fill(0, 1, content.length - 1); // with a hole
        const mode = random.pick([0o600, 0o644]);
        await writeFile(file, content);
        await chmod(file, mode);
        tree.set(path, `${content.toString("base64")} ${mode}`);
      }
      await makeExt4Image(image, { sizeMiB: 64, from, blockBytes: random.pick([1024, 4096]) });
      versions.push(new Map(tree));
    }
    const [old, now] = versions as [Map<string, string>, Map<string, string>];
    const expected = [...new Set([...old.keys(), ...now.keys()])].filter((path) => old.get(path) !== now.get(path));
    const [before, after] = [await versionOf(images[0]), await versionOf(images[1])];
    for (const limit of [1, 7, 100_000]) {
      const found: string[] = [];
      for (let place: string | undefined = "", more = true; more; ) {
        const page = await diffVersions(before, after, { limit, signal, ...(place && { after: place }) });
        for (const { path, parts } of page.changes)
          if (parts.join() !== "time") found.push(Buffer.from(path, "latin1").toString());
        ({ more } = page);
        place = page.changes.at(-1)?.path;
      }
      assert.equal(new Set(found).size, found.length);
      assert.deepEqual(found.toSorted(), expected.toSorted(), `seed ${seed}, limit ${limit}`);
    }
  });

  it("reads no contents that lie in the same chunks", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    const large = await hostFile(`${dir.path}/large`, Buffer.alloc(20 << 20, 7));
    await makeDisk(before, `write ${large} large`);
    await copyFile(before, after);
    await debugfs(after, "cd up", "sif large mtime @5");
    const version = await versionOf(after);
    const { changes } = await diffVersions(await versionOf(before), version, { limit: 10, signal });
    assert.deepEqual(
      changes.map(({ path, parts }) => [path, parts]),
      [["large", ["time"]]],
    );
    assert.ok(version.readBytes < 8 << 20, `${version.readBytes} bytes were read`);
  });

  it("compares what a journal holds, though the disks below are the same", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    const block = await hostFile(`${dir.path}/block`, Buffer.alloc(4096, 1));
    const other = await hostFile(`${dir.path}/other`, Buffer.alloc(4096, 2));
    await makeDisk(before, `write ${block} file`);
    await copyFile(before, after);
    await debugfs(after, "cd up", "sif file mtime @5");
    const at = (await readFile(after)).indexOf(Buffer.alloc(4096, 1)) / 4096;
    await debugfs(after, "jo", `jw -b ${at} ${other}`, "jc");
    assert.deepEqual(await diff(before, after), ["file: content time"]);
  });

  it("gives fewer changes than the limit when their paths are long, and goes on behind them", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    await makeDisk(before, "mknod file p");
    const names = Array.from({ length: 18_000 }, (_, n) => "\x01".repeat(250) + n.toString(36).padStart(4, "0"));
    await addFolder(before, { to: after, name: "long", entries: await entriesLike(before, "file", names) });
    const [old, now] = [await versionOf(before), await versionOf(after)];
    const found: string[] = [];
    for (let more = true; more; ) {
      const page = await diffVersions(old, now, {
        limit: 100_000,
        signal,
        ...(found.length && { after: found.at(-1) }),
      });
      assert.ok(page.changes.length > 0);
      assert.ok(page.changes.reduce((sum, { path }) => sum + path.length, 0) <= 4 << 20);
      found.push(...page.changes.map(({ path }) => path));
      ({ more } = page);
    }
    assert.deepEqual(found, ["long", ...names.map((name) => `long/${name}`)]);
  });

  it("refuses a folder that gives more names than are kept in memory, also the same ones again", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    await makeDisk(before, "mknod file p");
    const entries = await entriesLike(before, "file", Array(200_001).fill("same"));
    await addFolder(before, { to: after, name: "long", entries });
    const options = { limit: 10, signal };
    await assert.rejects(diffVersions(await versionOf(before), await versionOf(after), options), {
      code: "not_supported",
      message: /a folder has more than 200000 files/,
    });
  });

  it("refuses folders in folders that have more names together than are kept in memory", async () => {
    await using dir = await makeTempDir();
    const [before, after] = [`${dir.path}/before`, `${dir.path}/after`];
    await makeDisk(before, "mknod file p");
    const names = Array.from({ length: 150_000 }, (_, n) => n.toString(36).padStart(4, "0"));
    const entries = await entriesLike(before, "file", names);
    await copyFile(before, after);
    for (const name of ["c", "b", "a"]) {
      await addFolder(after, { to: after, name, entries });
      const disk = await openDisk(after);
      // It is the first one in the next.
      for await (const found of walkUpperLayer(disk, { signal, enter: ({ path }) => path === "" }))
        if (found.path === name) entries[0] = { name: "!", inode: found.inode.number };
    }
    const options = { limit: 10, signal };
    await assert.rejects(diffVersions(await versionOf(before), await versionOf(after), options), {
      code: "not_supported",
      message: /more than 400000 files together/,
    });
  });
});
