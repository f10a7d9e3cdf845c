import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createSeededRandom, makeTempDir, type TempDir } from "@mags/test-kit";
import { startTestGateway, type TestGateway } from "./harness.ts";

const LARGE_BYTES = 64 * 1024 * 1024;

/** Names of files below a folder, with what is in them. */
async function contentsOf(folder: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const hash = createHash("sha256").update(await readFile(path));
    found.set(path.slice(folder.length), hash.digest("hex"));
  }
  return found;
}

describe("files", () => {
  let test: TestGateway;
  let temp: TempDir;
  let tree: string;
  /** Of the tree. */
  let branch: string;
  before(async () => {
    test = await startTestGateway({ channels: 20 });
    temp = await makeTempDir();
    tree = join(temp.path, "tree");
    branch = join(tree, "d0");
    const random = createSeededRandom(11);
    for (let folder = 0; folder < 20; folder++) {
      await mkdir(join(tree, `d${folder}`), { recursive: true });
      for (let n = 0; n < 50; n++) {
        const content = Buffer.alloc(random.between(0, 6_000), `${folder}-${n} ü `);
        await writeFile(join(tree, `d${folder}`, n % 7 === 0 ? `file ${n} ü` : `file${n}`), content);
      }
    }
    await writeFile(join(temp.path, "large"), randomBytes(LARGE_BYTES));
  });
  after(async () => {
    await test[Symbol.asyncDispose]();
    await temp[Symbol.asyncDispose]();
  });

  const at = (name: string) => join(temp.path, name);
  async function ok(program: string, args: readonly string[], input?: string): Promise<void> {
    const { exitCode, stderr } = await test.run(program, args, input === undefined ? {} : { input });
    assert.equal(exitCode, 0, stderr);
  }
  async function isSame(folder: string, as: string): Promise<void> {
    assert.deepEqual(await contentsOf(folder), await contentsOf(as));
  }
  async function isLarge(file: string): Promise<void> {
    assert.ok((await readFile(file)).equals(await readFile(at("large"))));
  }
  const rsh = () => ["-e", `ssh ${test.options().join(" ")}`];

  it("are copied by scp, there as files and back as of old", async () => {
    const [there, back] = [at("scp-there"), at("scp-back")];
    await ok("scp", ["-s", "-rq", ...test.options(), branch, `box@h:${there}`]);
    await isSame(there, branch);
    await ok("scp", ["-O", "-rq", ...test.options(), `box@h:${there}`, back]);
    await isSame(back, branch);
    await ok("scp", ["-O", "-q", ...test.options(), at("large"), `box@h:${there}/large`]);
    await isLarge(`${there}/large`);
  });

  it("are copied by rsync, there and back, and only what differs", async () => {
    const [there, back] = [at("rsync-there"), at("rsync-back")];
    await ok("rsync", ["-a", ...rsh(), `${tree}/`, `box@h:${there}/`]);
    await isSame(there, tree);
    await writeFile(join(there, "d3", "file1"), "changed");
    await rm(join(there, "d4"), { recursive: true });
    const again = await test.run("rsync", ["-ai", "--checksum", ...rsh(), `${tree}/`, `box@h:${there}/`]);
    assert.equal(again.stdout.split("\n").filter((line) => line.startsWith("<f")).length, 51);
    await ok("rsync", ["-az", ...rsh(), `box@h:${there}/`, `${back}/`]);
    await isSame(back, tree);
  });

  it("are copied by rsync to the end when the first time was cut off", async () => {
    const there = at("cut");
    const limited = ["timeout", "-s", "KILL", "1", "rsync", "--partial", "--inplace", "--bwlimit=20m"];
    const [program = "", ...args] = limited;
    const { exitCode } = await test.run(program, [...args, "-a", ...rsh(), at("large"), `box@h:${there}`]);
    assert.notEqual(exitCode, 0);
    const { size } = await stat(there);
    assert.ok(size > 0 && size < LARGE_BYTES, String(size));
    await ok("rsync", ["-a", "--append-verify", ...rsh(), at("large"), `box@h:${there}`]);
    await isLarge(there);
  });

  it("are listed, changed and fetched on by sftp", async () => {
    const folder = at("sftp");
    const partial = at("sftp-partial");
    await writeFile(partial, (await readFile(at("large"))).subarray(0, 10_000_000));
    const batch = [
      `mkdir ${folder}`,
      `put -p ${at("large")} ${folder}/large`,
      `rename ${folder}/large ${folder}/moved`,
      `symlink ${folder}/moved ${folder}/link`,
      `chmod 640 ${folder}/moved`,
      `reget ${folder}/link ${partial}`,
      `ls -l ${folder}`,
    ];
    await ok("sftp", ["-q", "-b", "-", ...test.options(), "box@h"], `${batch.join("\n")}\n`);
    await isLarge(partial);
    assert.equal((await stat(`${folder}/moved`)).mode & 0o777, 0o640);
  });
});
