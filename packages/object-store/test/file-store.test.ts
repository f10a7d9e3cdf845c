import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, rename, rmdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { makeFileStore, openFileStore } from "@mags/object-store";
import { collectAll, createSeededRandom, makeTempDir, seedFrom, waitFor } from "@mags/test-kit";

const COUNT = fileURLToPath(import.meta.resolve("./processes/count.ts"));
const FILL = fileURLToPath(import.meta.resolve("./processes/fill.ts"));
const asRoot = process.getuid?.() === 0;

async function made(directory: string) {
  await makeFileStore(directory);
  return await openFileStore(directory);
}

describe("a folder that several processes write", () => {
  it("loses no write that was acknowledged, whoever is killed, and stays usable", async () => {
    await using dir = await makeTempDir();
    const store = await made(dir.path);
    await store.put("a/count", Buffer.from("0"));
    const seed = seedFrom(process.env.MAGS_SEED);
    const random = createSeededRandom(seed);
    const acknowledged: number[] = [];
    const processes: ChildProcess[] = [];
    const startOne = () => {
      const child = spawn(process.execPath, [COUNT, dir.path], { stdio: ["ignore", "pipe", "inherit"] });
      createInterface({ input: child.stdout }).on("line", (line) => acknowledged.push(Number(line)));
      processes.push(child);
    };
    const killOne = async (child: ChildProcess) => {
      const exited = once(child, "close");
      child.kill("SIGKILL");
      assert.deepEqual(await exited, [null, "SIGKILL"], "it ran until it was killed");
      processes.splice(processes.indexOf(child), 1);
    };
    const more = (count: number) => {
      const from = acknowledged.length;
      return waitFor(() => acknowledged.length >= from + count, { what: "writes", deadlineMs: 60_000, intervalMs: 1 });
    };
    let kills = 0;
    try {
      for (let started = 0; started < 3; started++) startOne();
      for (; kills < 12; kills++) {
        await more(random.between(1, 20));
        await killOne(random.pick(processes));
        startOne();
      }
      await more(20);
    } finally {
      kills += processes.length;
      while (processes[0]) await killOne(processes[0]);
    }
    const count = Number((await store.get("a/count")).bytes.toString());
    const where = `MAGS_SEED=${seed}`;
    assert.equal(new Set(acknowledged).size, acknowledged.length, `no count was written twice, ${where}`);
    // A killed process may have written one count that it did not live to tell.
    const untold = count - acknowledged.length;
    assert.ok(
      untold >= 0 && untold <= kills,
      `${count}, ${acknowledged.length} acknowledged, ${kills} killed, ${where}`,
    );

    await (await openFileStore(dir.path)).put("a/count", Buffer.from("end"));
    assert.deepEqual(await readdir(join(dir.path, "new")), []);
    assert.deepEqual(await readdir(join(dir.path, "lock")), ["free"]);
  });
});

describe("a folder as a store", () => {
  it("refuses what a full disk does not take, whole, and goes on when there is room", { skip: !asRoot }, async () => {
    await using dir = await makeTempDir();
    const command = `mount -t tmpfs -o size=2m tmpfs ${dir.path} && exec ${process.execPath} ${FILL} ${dir.path}`;
    const { stdout } = await promisify(execFile)("unshare", [
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      command,
    ]);
    const { refused, sizes, unfinished, folders } = JSON.parse(stdout);
    assert.equal(refused.code, "disk_full");
    assert.match(refused.message, /^writing \d+\/object failed: its disk is full$/);
    assert.ok(sizes.length > 10 && sizes.every((size: number) => size === 100_000));
    assert.deepEqual(unfinished, []);
    assert.equal(folders.length, sizes.length);
  });

  it("leaves nothing of a write that was aborted in the middle", async () => {
    await using dir = await makeTempDir();
    const store = await made(dir.path);
    const stop = new AbortController();
    const reason = new Error("enough");
    const writing = store.put("a/large", Buffer.alloc(64 * 1024 * 1024), { signal: stop.signal });
    const outcome = assert.rejects(writing, reason);
    await waitFor(async () => (await readdir(join(dir.path, "new"))).length > 0, { what: "the write", intervalMs: 1 });
    stop.abort(reason);
    await outcome;
    assert.deepEqual([await readdir(join(dir.path, "new")), await readdir(join(dir.path, "tree"))], [[], []]);
  });

  it("keeps no folders that have become empty", async () => {
    await using dir = await makeTempDir();
    const store = await made(dir.path);
    for (const key of ["a/b/c/1", "a/b/2", "a/3"]) await store.put(key, Buffer.from(key));
    await store.delete("a/b/c/1");
    assert.deepEqual(await readdir(join(dir.path, "tree/a/b")), ["2"]);
    await store.delete("a/b/2");
    assert.deepEqual(await readdir(join(dir.path, "tree/a")), ["3"]);
    await store.delete("a/3");
    assert.deepEqual(await readdir(join(dir.path, "tree")), []);
  });

  it("has no objects but files whose names can be keys", async () => {
    await using dir = await makeTempDir();
    const store = await made(dir.path);
    await store.put("object", Buffer.from("1"));
    await symlink("object", join(dir.path, "tree/link"));
    await writeFile(join(dir.path, "tree/line\nfeed"), "");
    await mkdir(join(dir.path, "tree/folder"));
    assert.deepEqual(
      (await collectAll(store.list(""))).map(({ key }) => key),
      ["object"],
    );
    assert.equal(await store.head("link"), undefined);
  });

  it("keeps its objects from other users", async () => {
    await using dir = await makeTempDir();
    await chmod(dir.path, 0o755);
    const store = await made(join(dir.path, "objects"));
    await store.put("a/b", Buffer.from("secret"));
    const { stdout } = await promisify(execFile)("find", [dir.path, "-mindepth", "1", "-perm", "/077"]);
    assert.equal(stdout, "");
  });
});

describe("a folder that is away", () => {
  it("is that, and no object of it counts as lost; nothing is written in its place", async () => {
    await using dir = await makeTempDir();
    const place = join(dir.path, "store");
    const store = await made(place);
    await store.put("a", Buffer.from("1"));
    await rename(place, join(dir.path, "elsewhere"));
    await mkdir(place); // where nothing is mounted now
    const all = async () => {
      for await (const _ of store.list("")) assert.fail();
    };
    const calls = [
      () => store.get("a"),
      () => store.head("a"),
      () => store.put("b", Buffer.from("2")),
      () => store.delete("a"),
      all,
    ];
    for (const call of calls) await assert.rejects(call(), { code: "unavailable", message: /mounted/ });
    assert.deepEqual(await readdir(place), []);
    await rmdir(place);
    await rename(join(dir.path, "elsewhere"), place);
    assert.equal((await store.get("a")).bytes.toString(), "1");
  });

  it("is not made by opening it, nor is another taken for it", async () => {
    await using dir = await makeTempDir();
    const [place, elsewhere] = [join(dir.path, "store"), join(dir.path, "elsewhere")];
    const identity = await makeFileStore(place);
    const store = await openFileStore(place, { identity });
    await store.put("a", Buffer.from("1"));
    assert.equal(await makeFileStore(place), identity, "it keeps it");

    await rename(place, elsewhere);
    const isAway = { code: "unavailable", message: `${place} is not there: is what it lies on mounted?` };
    await assert.rejects(openFileStore(place, { identity }), isAway);
    await assert.rejects(openFileStore(place), isAway);
    assert.deepEqual(await readdir(dir.path), ["elsewhere"]);

    await makeFileStore(place);
    await assert.rejects(openFileStore(place, { identity }), { code: "unavailable", message: /another object store/ });
    const moved = await openFileStore(elsewhere, { identity });
    assert.equal((await moved.get("a")).bytes.toString(), "1");
  });
});
