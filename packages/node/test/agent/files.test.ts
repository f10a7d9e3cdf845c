import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { readFields } from "../../src/agent/fields.ts";
import type { AgentConnection, GuestFailure, OpenOptions } from "../../src/agent/index.ts";
import { decodeStat } from "../../src/agent/requests.ts";
import { TAG } from "../../src/agent/wire.ts";
import { collect } from "./collect.ts";
import { type AgentVariant, type HostAgent, startHostAgent } from "./host-agent.ts";

for (const variant of ["agent", "agent-asan"] satisfies AgentVariant[]) {
  describe(`files of ${variant}`, () => {
    let agent: HostAgent;
    let connection: AgentConnection;
    let dir: TempDir;
    const at = (name: string) => join(dir.path, name);

    before(async () => {
      agent = await startHostAgent(variant);
      connection = await agent.connect();
      dir = await makeTempDir();
    });
    after(async () => {
      assert.deepEqual(agent.violations, []);
      await agent[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    });

    const refusal = async (options: OpenOptions) => {
      const error = await connection.open(options).opened.then(
        () => assert.fail("it was opened"),
        (reason: unknown) => reason,
      );
      assert.ok(isAppError(error, "guest_failed"));
      return (error.details.failure as GuestFailure).code;
    };

    describe("reading", () => {
      const content = randomBytes(3_000_001);
      before(() => writeFile(at("content"), content));

      it("gives a file whole, or the part that was asked for", async () => {
        const path = at("content");
        const whole = await collect(connection, { kind: "fileRead", path, window: 65_536 });
        assert.ok(whole.output.equals(content));
        assert.equal(whole.end.failure, null);
        const part = await collect(connection, { kind: "fileRead", path, offset: 1_000_000, length: 70_000 });
        assert.ok(part.output.equals(content.subarray(1_000_000, 1_070_000)));
        const beyond = await collect(connection, { kind: "fileRead", path, offset: 9_000_000 });
        assert.equal(beyond.output.length, 0);
        const nothing = await collect(connection, { kind: "fileRead", path, length: 0 });
        assert.equal(nothing.output.length, 0);
      });

      it("gives files of /proc, whose size says nothing", async () => {
        const { output } = await collect(connection, { kind: "fileRead", path: "/proc/meminfo" });
        assert.match(output.toString(), /^MemTotal:/);
      });

      it("refuses what is no regular file, without waiting for it", async () => {
        execFileSync("mkfifo", [at("fifo")]);
        assert.equal(await refusal({ kind: "fileRead", path: at("fifo") }), "EINVAL");
        assert.equal(await refusal({ kind: "fileRead", path: "/dev/zero" }), "EINVAL");
        assert.equal(await refusal({ kind: "fileRead", path: dir.path }), "EISDIR");
        assert.equal(await refusal({ kind: "fileRead", path: at("missing") }), "ENOENT");
        assert.equal(await refusal({ kind: "fileRead", path: "" }), "EINVAL");
        assert.equal(await refusal({ kind: "fileRead", path: "a\0b" }), "EINVAL");
      });

      it("can be given up half way", async () => {
        const stream = connection.open({ kind: "fileRead", path: at("content"), window: 65_536, keep: true });
        await stream.opened;
        stream.close();
        await assert.rejects(stream.ended, /closed/);
      });
    });

    describe("writing", () => {
      const content = randomBytes(1_500_000);

      it("makes a file with the mode that was asked for, and says how much it took", async () => {
        const path = at("new");
        const { end } = await collect(connection, { kind: "fileWrite", path, mode: 0o4750 }, content);
        assert.equal(end.bytes, content.length);
        assert.equal(end.failure, null);
        assert.ok((await readFile(path)).equals(content));
        assert.equal((await stat(path)).mode & 0o7777, 0o4750);
      });

      it("writes over a file, and keeps its mode", async () => {
        const path = at("old");
        await writeFile(path, "something longer", { mode: 0o600 });
        await collect(connection, { kind: "fileWrite", path }, Buffer.from("short"));
        assert.equal(await readFile(path, "utf8"), "short");
        assert.equal((await stat(path)).mode & 0o7777, 0o600);
      });

      it("makes empty files, appends, makes parents and refuses to overwrite, as told", async () => {
        const path = at("deep/er/file");
        assert.equal(await refusal({ kind: "fileWrite", path }), "ENOENT");
        await collect(connection, { kind: "fileWrite", path, parents: true }, Buffer.alloc(0));
        assert.equal((await stat(path)).size, 0);
        for (const line of ["a\n", "b\n"])
          await collect(connection, { kind: "fileWrite", path, append: true }, Buffer.from(line));
        assert.equal(await readFile(path, "utf8"), "a\nb\n");
        assert.equal(await refusal({ kind: "fileWrite", path, exclusive: true }), "EEXIST");
        assert.equal(await refusal({ kind: "fileWrite", path, append: true, atomic: true }), "EINVAL");
        assert.equal(await refusal({ kind: "fileWrite", path: dir.path }), "EISDIR");
        assert.equal(await refusal({ kind: "fileWrite", path: at("deep/er/file/below") }), "ENOTDIR");
        assert.equal(await refusal({ kind: "fileWrite", path: "/dev/null" }), "EINVAL");
      });

      it("replaces a file at once, or not at all", async () => {
        await mkdir(at("atomic"));
        const path = at("atomic/file");
        await writeFile(path, "old");
        await chmod(path, 0o640);
        const stream = connection.open({ kind: "fileWrite", path, atomic: true });
        await stream.opened;
        await stream.write(Buffer.from("half of the ne"));
        await connection.ping();
        assert.equal(await readFile(path, "utf8"), "old");
        stream.close();
        await connection.ping();
        assert.deepEqual(await readdir(at("atomic")), ["file"]);
        await collect(connection, { kind: "fileWrite", path, atomic: true }, Buffer.from("new"));
        assert.equal(await readFile(path, "utf8"), "new");
        assert.equal((await stat(path)).mode & 0o7777, 0o640);
        assert.deepEqual(await readdir(at("atomic")), ["file"]);
      });

      it("does not replace a file that came meanwhile when that is forbidden", async () => {
        const path = at("raced");
        const stream = connection.open({ kind: "fileWrite", path, atomic: true, exclusive: true });
        await stream.opened;
        await writeFile(path, "first");
        await stream.write(Buffer.from("second"));
        await stream.endInput();
        assert.equal((await stream.ended).failure?.code, "EEXIST");
        assert.equal(await readFile(path, "utf8"), "first");
      });

      it("reports a full disk", async (context) => {
        const { stdout } = await connection.run({ argv: ["df", "-B1", "--output=avail", "/dev/shm"] });
        const free = Number(stdout.toString().split("\n")[1]);
        if (!(free < 1 << 28)) {
          context.skip("this host has no small file system to fill");
          return;
        }
        const path = `/dev/shm/mags-full-${process.pid}`;
        const { end } = await collect(connection, { kind: "fileWrite", path }, Buffer.alloc(free + 100_000));
        await rm(path, { force: true });
        assert.equal(end.failure?.code, "ENOSPC");
      });
    });

    describe("looking", () => {
      it("tells what a file is", async () => {
        await writeFile(at("looked-at"), "12345", { mode: 0o640 });
        await utimes(at("looked-at"), 1_700_000_000.25, 1_700_000_000.25);
        await symlink("looked-at", at("link"));
        const file = await connection.stat({ path: at("looked-at") });
        assert.deepEqual(
          [file.mode & 0o7777, file.mode & 0o170000, file.sizeBytes, file.mtimeMs, file.target],
          [0o640, 0o100000, 5, 1_700_000_000_250, null],
        );
        const link = await connection.stat({ path: at("link") });
        assert.deepEqual([link.mode & 0o170000, link.target?.toString()], [0o120000, "looked-at"]);
        assert.equal((await connection.stat({ path: at("link"), follow: true })).sizeBytes, 5);
        await assert.rejects(connection.stat({ path: at("nothing") }), /ENOENT/);
      });

      it("lists a directory: a record an entry, without . and ..", async () => {
        await mkdir(at("listed/sub"), { recursive: true });
        await writeFile(at("listed/ä name\nwith a newline"), "abc");
        await symlink("nowhere", at("listed/dangling"));
        const entries = new Map<string, ReturnType<typeof decodeStat>>();
        const stream = connection.open({
          kind: "list",
          path: at("listed"),
          onRecord({ bytes }) {
            const fields = readFields(bytes);
            entries.set(fields.bytes(TAG.name)?.toString() ?? "", decodeStat(fields));
          },
        });
        assert.equal((await stream.ended).failure, null);
        assert.deepEqual([...entries.keys()].toSorted(), ["dangling", "sub", "ä name\nwith a newline"]);
        assert.equal(entries.get("ä name\nwith a newline")?.sizeBytes, 3);
        assert.equal(entries.get("dangling")?.target?.toString(), "nowhere");
        assert.equal(await refusal({ kind: "list", path: at("listed/dangling") }), "ENOENT");
        assert.equal(await refusal({ kind: "list", path: at("looked-at") }), "ENOTDIR");
      });
    });

    describe("tar", () => {
      before(async () => {
        await mkdir(at("tree/sub"), { recursive: true });
        await writeFile(at("tree/a"), "a");
        await writeFile(at("tree/sub/b"), randomBytes(400_000), { mode: 0o755 });
        await writeFile(at("tree/-n"), "looks like an option");
        await symlink("a", at("tree/link"));
      });

      it("carries a tree out and in again", async () => {
        const { end, output } = await collect(connection, {
          kind: "tarOut",
          cwd: at("tree"),
          paths: ["a", "sub", "-n", "link"],
        });
        assert.equal(end.failure, null);
        const copy = at("copies/of/tree");
        const taken = await collect(connection, { kind: "tarIn", cwd: copy }, output);
        assert.equal(taken.end.failure, null);
        assert.equal(taken.end.bytes, output.length);
        execFileSync("diff", ["-r", "--no-dereference", at("tree"), copy]);
        assert.equal((await stat(join(copy, "sub/b"))).mode & 0o777, 0o755);
      });

      it("says what is wrong with what it was given", async () => {
        const missing = await collect(connection, { kind: "tarOut", cwd: at("tree"), paths: ["a", "missing"] });
        assert.equal(missing.end.failure?.step, "tar");
        assert.match(missing.end.failure?.message ?? "", /missing.*No such file/);
        const nonsense = await collect(
          connection,
          { kind: "tarIn", cwd: at("nonsense") },
          Buffer.from("no archive\n".repeat(1000)),
        );
        assert.match(nonsense.end.failure?.message ?? "", /tar archive/);
        const cut = await collect(connection, { kind: "tarOut", cwd: at("tree"), paths: ["sub"] });
        const partial = await collect(
          connection,
          { kind: "tarIn", cwd: at("partial") },
          cut.output.subarray(0, 100_000),
        );
        assert.match(partial.end.failure?.message ?? "", /[Uu]nexpected EOF/);
        assert.equal(await refusal({ kind: "tarOut", cwd: at("tree"), paths: [] }), "EINVAL");
        assert.equal(await refusal({ kind: "tarOut", cwd: at("no tree"), paths: ["a"] }), "ENOENT");
      });

      it("does not leave the directory it unpacks into", async () => {
        const evil = execFileSync("tar", ["-cPf", "-", "--transform=s,^,../../escaped-,", "-C", at("tree"), "a"]);
        await collect(connection, { kind: "tarIn", cwd: at("prison/cell") }, evil);
        assert.deepEqual(await readdir(dir.path).then((names) => names.filter((name) => name.includes("escaped"))), []);
      });

      it("takes no harm from a file that changes while it is read", async () => {
        const writer = connection.open({
          kind: "exec",
          argv: ["/bin/sh", "-c", "head -c 30000000 /dev/zero > busy; echo ready; while :; do echo x >> busy; done"],
          cwd: at("tree"),
          onRecord: () => writing.resolve(),
        });
        const writing = Promise.withResolvers<void>();
        await writing.promise;
        const { end } = await collect(connection, { kind: "tarOut", cwd: at("tree"), paths: ["busy"], window: 65_536 });
        writer.close();
        assert.equal(end.failure, null);
        await waitFor(() => writer.ended.catch(() => true), { what: "the end of the writer" });
      });

      it("ends tar when its stream is closed", async () => {
        const stream = connection.open({ kind: "tarOut", cwd: "/", paths: ["usr"], window: 65_536, keep: true });
        const { pid } = await stream.opened;
        stream.close();
        const state = async () =>
          (await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone")).match(/gone|\) [ZX]/);
        await waitFor(async () => (await state()) !== null, { what: "the end of tar" });
      });
    });
  });
}
