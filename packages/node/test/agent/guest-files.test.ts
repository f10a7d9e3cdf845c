import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isAppError, sleep } from "@mags/core";
import { type GuestFiles, type GuestId, newJobId } from "@mags/domain";
import { collectAll, makeTempDir, type TempDir } from "@mags/test-kit";
import { createGuestFiles } from "../../src/guests/files.ts";
import { createGuests, guestOf } from "../../src/guests/guests.ts";
import { type AgentVariant, type HostAgent, startHostAgent } from "./host-agent.ts";

for (const variant of ["agent", "agent-asan"] satisfies AgentVariant[]) {
  describe(`files of a guest, over ${variant}`, () => {
    let agent: HostAgent;
    let dir: TempDir;
    let files: GuestFiles;
    const id: GuestId = newJobId();
    const at = (name: string) => join(dir.path, name);
    const path = (name: string) => Buffer.from(at(name), "latin1");
    const quietly = { signal: new AbortController().signal };

    before(async () => {
      agent = await startHostAgent(variant);
      dir = await makeTempDir();
      const guests = createGuests();
      guests.add(id, guestOf({ id, agent: await agent.connect(), gone: quietly.signal }));
      files = createGuestFiles(guests);
    });
    after(async () => {
      assert.deepEqual(agent.violations, []);
      await agent[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    });

    const refusal = async (promise: Promise<unknown>) => {
      const error = await promise.then(
        () => assert.fail("it was done"),
        (reason: unknown) => reason,
      );
      return isAppError(error) ? error.code : String(error);
    };
    async function* pieces(bytes: Buffer, size = 100_000) {
      for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
    }
    const write = (name: string, bytes: Buffer, more: Partial<Parameters<GuestFiles["write"]>[1]> = {}) => {
      const file = { path: path(name), mode: null, mtimeMs: null, parents: false, exclusive: false, ...more };
      return files.write(id, file, pieces(bytes), quietly);
    };

    it("come and go whole, in parts, with mode and time", async () => {
      const content = randomBytes(5_000_001);
      assert.equal(
        await write("a/b/file", content, { parents: true, mode: 0o750, mtimeMs: 1_234_567_890_123 }),
        5_000_001,
      );
      assert.ok((await readFile(at("a/b/file"))).equals(content));
      const info = await files.stat(id, { path: path("a/b/file"), follow: false }, quietly);
      assert.deepEqual(
        [info.type, info.mode, info.sizeBytes, info.mtimeMs],
        ["file", 0o750, 5_000_001, 1_234_567_890_123],
      );
      const part = { path: path("a/b/file"), offset: 1_000_000, length: 2_000_000 };
      const read = Buffer.concat(await collectAll(await files.read(id, part, quietly)));
      assert.ok(read.equals(content.subarray(1_000_000, 3_000_000)));
      assert.equal(await refusal(write("a/b/file", content, { exclusive: true })), "file_conflict");
      assert.equal(await refusal(write("no/folder", content)), "file_not_found");
    });

    it("wait for a reader that is slow, and end with one that leaves", async () => {
      await writeFile(at("large"), randomBytes(20_000_000));
      const whole = { path: path("large"), offset: 0, length: null };
      const source = await files.read(id, whole, quietly);
      const before = process.memoryUsage().rss;
      let taken = 0;
      for await (const piece of source) {
        if (taken < 10 * 65_512) await sleep(5);
        taken += piece.length;
      }
      assert.equal(taken, 20_000_000);
      assert.ok(process.memoryUsage().rss - before < 60_000_000);
      for await (const piece of await files.read(id, whole, quietly)) {
        assert.ok(piece.length > 0);
        break;
      }
      const leaving = new AbortController();
      const cut = await files.read(id, whole, leaving);
      leaving.abort(new Error("left"));
      await assert.rejects(collectAll(cut), /left/);
    });

    it("are listed and packed, names as bytes", async () => {
      await mkdir(at("tree/below"), { recursive: true });
      for (let n = 0; n < 1_000; n++) await writeFile(at(`tree/below/${n}`), "");
      await writeFile(Buffer.concat([path("tree/"), Buffer.from([0xff, 0x0a])]), "odd");
      await symlink("below", at("tree/link"));
      const entries = (await collectAll(await files.list(id, { path: path("tree") }, quietly))).flat();
      const odd = entries.find(({ type }) => type === "file");
      assert.deepEqual([odd?.name, odd?.sizeBytes], [Buffer.from([0xff, 0x0a]), 3]);
      assert.equal(entries.find(({ type }) => type === "symlink")?.target?.toString(), "below");
      const many = await collectAll(await files.list(id, { path: path("tree/below") }, quietly));
      assert.equal(many.flat().length, 1_000);
      const archive = await files.pack(id, { path: path("tree") }, quietly);
      await files.unpack(id, { path: path("copies/of/tree") }, archive, quietly);
      execFileSync("diff", ["-r", "--no-dereference", at("tree"), at("copies/of/tree")]);
      assert.equal(await refusal(files.pack(id, { path: path("tree/link/0") }, quietly)), "file_conflict");
      assert.equal(await refusal(files.list(id, { path: path("missing") }, quietly)), "file_not_found");
      const bad = files.unpack(id, { path: path("bad") }, pieces(Buffer.from("no archive".repeat(200))), quietly);
      assert.equal(await refusal(bad), "file_conflict");
    });

    it("are renamed and made", async () => {
      await writeFile(at("old"), "old");
      await writeFile(at("new"), "new");
      const move = (replace: boolean) => files.rename(id, { path: path("old"), to: path("new"), replace }, quietly);
      assert.equal(await refusal(move(false)), "file_conflict");
      await move(true);
      assert.equal(await readFile(at("new"), "utf8"), "old");
      assert.equal(await refusal(move(true)), "file_not_found");
      const make = (name: string, parents: boolean, mode: number | null = null) =>
        files.makeDirectory(id, { path: path(name), parents, mode }, quietly);
      assert.equal(await refusal(make("m/n/o", false)), "file_not_found");
      await make("m/n/o", true, 0o700);
      await make("m/n/o", true, 0o777);
      assert.equal((await stat(at("m/n/o"))).mode & 0o777, 0o700);
      assert.equal(await refusal(make("m/n/o", false)), "file_conflict");
      assert.equal(await refusal(make("new", true)), "file_conflict");
    });

    describe("removing", () => {
      const remove = (name: string | Buffer, recursive = false) =>
        files.remove(id, { path: typeof name === "string" ? path(name) : name, recursive }, quietly);

      it("takes files, links and folders, and leaves what links lead to", async () => {
        await mkdir(at("kept"));
        await writeFile(at("kept/file"), "kept");
        await mkdir(at("gone/a/b"), { recursive: true });
        for (const name of ["gone/link", "gone/a/link", "link"]) await symlink(at("kept"), at(name));
        assert.equal(await refusal(remove("gone")), "file_conflict");
        await remove("gone", true);
        await remove("link/", true); // the slash would lead through it
        assert.deepEqual([existsSync(at("gone")), await readdir(at("kept"))], [false, ["file"]]);
        assert.equal(await lstat(at("link")).catch(() => null), null);
        assert.equal(await refusal(remove("gone", true)), "file_not_found");
        await remove("kept/file");
        await remove("kept");
      });

      it("goes deeper than a path can be long, and copes with many names, while others are served", async () => {
        const chain = "dd/".repeat(1_000);
        for (let n = 0; n < 4; n++) {
          await mkdir(at(`chain/${chain}`), { recursive: true });
          if (n > 0) await rename(at("deep"), at(`chain/${chain}deep`));
          await rename(at("chain"), at("deep"));
        }
        await mkdir(at("wide"));
        for (let n = 0; n < 3_000; n++) await writeFile(at(`wide/${n}`), "");
        const both = Promise.all([remove("deep", true), remove("wide", true)]);
        await files.stat(id, { path: path("."), follow: true }, quietly);
        await both;
        assert.deepEqual([existsSync(at("deep")), existsSync(at("wide"))], [false, false]);
      });

      it("refuses what must stay", async () => {
        for (const name of ["/", "//", "/proc", "/proc/", "/tmp/.", "/usr/.."])
          assert.equal(await refusal(remove(Buffer.from(name), true)), "file_conflict", name);
        assert.equal(await refusal(remove(Buffer.alloc(0))), "validation_failed");
        assert.equal(await refusal(remove(Buffer.from("/a\0b"))), "validation_failed");
        assert.equal(await refusal(remove(Buffer.from(`/${"a".repeat(300)}`))), "validation_failed");
      });
    });

    it("of a guest that is not there are not running", async () => {
      const other = files.stat(newJobId(), { path: path("x"), follow: false }, quietly);
      assert.equal(await refusal(other), "job_not_running");
    });
  });
}
