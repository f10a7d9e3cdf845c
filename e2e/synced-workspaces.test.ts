import assert from "node:assert/strict";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { toolCommand } from "@mags/runtime-root";
import { findArtifacts, makeTempDir, waitFor } from "@mags/test-kit";
import { run } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";

/** Files of all kinds, changes to the image's, a package of our own, and a program with a capability. */
const MAKE_TREE = `set -e
mkdir -p /root/tree/folder; cd /root/tree
echo text >text; head -c 3000000 /dev/urandom >large; truncate -s 64M sparse; echo end >>sparse
ln text folder/hard; ln -s ../text folder/soft; mkfifo pipe; mknod device c 1 3; chown 12345:70000 text; chmod 4711 text
touch -d '1999-12-31 23:59:59.123456789' large; for n in $(seq 500); do echo $n >folder/n$n; done
cp /bin/true able; python3 -c 'import os
os.setxattr("able", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))'
rm /etc/debian_version; rm -r /usr/share/pixmaps; mkdir /usr/share/pixmaps; echo mine >/usr/share/pixmaps/mine
mkdir -p /tmp/p/DEBIAN /tmp/p/opt/leaving; echo yes >/tmp/p/opt/leaving/file
printf 'Package: leaving\\nVersion: 1\\nArchitecture: all\\nMaintainer: me\\nDescription: leaves\\n' >/tmp/p/DEBIAN/control
dpkg-deb -b /tmp/p /tmp/p.deb; dpkg -i /tmp/p.deb`;
/** What can be seen of that, and of the package. */
const listTree = (root: string) => `cd ${root}; trees='root/tree opt/leaving'
find $trees -type d -printf '%y %m %U %G %T@ %p\\n' -o -printf '%y %m %U %G %T@ %n %s %l %p\\n' | sort
find $trees -type f -exec sha256sum {} + | sort; grep -A1 '^Package: leaving$' var/lib/dpkg/status`;

let server: TestServer;
before(async () => {
  server = await startServer({ config: { workspaces: { warm_seconds: 6 } } });
});
after(() => server[Symbol.asyncDispose]());

/** Runs a command line that must succeed. */
async function mags(...args: string[]): Promise<string> {
  const { exitCode, text, errors } = await server.mags(args);
  assert.equal(exitCode, 0, `mags ${args.join(" ")}: ${text}${errors}`);
  return text;
}

/** Runs a command line that must fail. @returns what it says. */
async function refused(...args: string[]): Promise<string> {
  const { exitCode, text, errors } = await server.mags(args);
  assert.notEqual(exitCode, 0, `mags ${args.join(" ")}: ${text}`);
  return text + errors;
}

describe("a synced workspace", () => {
  it("keeps files, packages and configuration from a persistent run to the next", async () => {
    await mags(
      "run",
      "-p",
      "-w",
      "site",
      "mkdir /root/app; echo one >/root/app/file; echo cfg >/etc/app.conf; echo kept >/jfs/kept",
    );
    await mags("stop", "site");
    assert.equal(
      await mags("run", "-p", "-w", "site", "cat /root/app/file /etc/app.conf /jfs/kept"),
      "one\ncfg\nkept\n",
    );
    await mags("stop", "site");
  });

  it("is opened at its latest version without -p, and what that changes is not kept", async () => {
    await mags("run", "-p", "-w", "lib", "echo 1 >/root/n");
    await mags("stop", "lib");
    const copy = await server.mags(["run", "-w", "lib", "cat /root/n; echo 2 >/root/n"]);
    assert.equal(copy.text, "1\n");
    assert.match(copy.errors, /^mags: workspace lib is open as a copy: .*dropped[^\n]*\n$/);
    await mags("stop", "lib").catch(() => "");
    await waitFor(async () => (await server.mags(["run", "-w", "lib", "cat /root/n"])).text === "1\n", {
      what: "the warm copy to go",
      deadlineMs: 60_000,
      intervalMs: 2_000,
    });
  });

  it("is a base that many jobs read at once and none changes", async () => {
    await mags("run", "-p", "-w", "golden", "echo gold >/root/g");
    await mags("sync", "golden");
    await mags("stop", "golden");
    const all = await Promise.all(
      [1, 2, 3].map((n) => mags("run", "--base", "golden", `cat /root/g; echo ${n} >>/root/g; cat /root/g`)),
    );
    assert.deepEqual(
      all,
      [1, 2, 3].map((n) => `gold\ngold\n${n}\n`),
    );
    assert.equal(await mags("run", "--base", "golden", "-w", "fork", "-p", "cat /root/g; echo f >>/root/g"), "gold\n");
    await mags("stop", "fork");
    assert.equal(await mags("run", "-w", "fork", "-p", "cat /root/g"), "gold\nf\n");
    await mags("stop", "fork");
    assert.equal(await mags("run", "--base", "golden", "sleep 4; cat /root/g"), "gold\n");
    assert.match(await refused("run", "--base", "nothing", "true"), /nothing/);
  });

  it("is listed, has versions, goes back to one, and is deleted", async () => {
    await mags("run", "-p", "-w", "doc", "echo 1 >/root/v");
    await mags("sync", "doc");
    await mags("exec", "doc", "echo 2 >/root/v");
    await mags("sync", "doc");
    assert.match(await mags("workspace", "list"), /doc/);
    const versions = await mags("workspace", "versions", "doc");
    assert.match(versions, /1/);
    const changes = await mags("workspace", "diff", "doc");
    assert.match(changes, /^changed +content, time +2 B +root\/v$/m);
    assert.doesNotMatch(changes, /^\w+ .* root$/m);
    assert.deepEqual(JSON.parse(await mags("workspace", "diff", "doc", "1", "1", "--json")).changes, []);
    assert.match(await refused("workspace", "delete", "-y", "nowhere"), /nowhere/);
    await mags("stop", "doc");
    await mags("workspace", "restore", "doc", "--version", "1");
    assert.equal(await mags("run", "-p", "-w", "doc", "cat /root/v"), "1\n");
    await mags("stop", "doc");
    await mags("workspace", "delete", "-y", "doc");
    assert.doesNotMatch(await mags("workspace", "list"), /doc/);
  });

  it("sleeps, wakes, and survives the end of its server", async () => {
    await mags("new", "box", "-p");
    await mags("exec", "box", "echo a >/root/a");
    await mags("sleep", "box");
    assert.equal(await mags("exec", "box", "cat /root/a"), "a\n");
    await server.kill();
    await server.start();
    await mags("exec", "box", "echo b >/root/b");
    await mags("sync", "box");
    await mags("stop", "box");
    assert.equal(await mags("run", "-p", "-w", "box", "cat /root/a /root/b"), "a\nb\n");
    await mags("stop", "box");
  });

  it("lies whole in the object store, and comes out of it as a disk image", async () => {
    const { text, exitCode } = await server.magsd("store", "check", "--data");
    assert.equal(exitCode, 0, text);
    assert.match(text, /nothing is missing or damaged/);
    assert.match((await server.magsd("store", "stats")).text, / site: \d+ versions?, the latest is/);
    const file = join(server.dataDir, "site.img");
    const out = await server.magsd("store", "export", "site", file);
    assert.equal(out.exitCode, 0, out.text + out.errors);
    const { runtime, launcher } = findArtifacts();
    const debugfs = toolCommand({ dir: runtime, launcher }, "/usr/sbin/debugfs", ["-R", "cat /up/root/app/file", file]);
    const listing = await run(debugfs.file, debugfs.args);
    assert.equal(listing.text, "one\n");
    await rm(file);
    assert.match((await server.magsd("store", "export", "nowhere", file)).errors, /has no workspace nowhere/);
  });

  it("comes out as a tar archive that has what its guest had", async () => {
    await mags("run", "-p", "-w", "leave", MAKE_TREE);
    const inGuest = await mags("exec", "leave", listTree("/"));
    await mags("stop", "leave");
    await using temp = await makeTempDir();
    const file = join(temp.path, "leave.tar");
    const { exitCode, text, errors } = await server.magsd("store", "export", "leave", file, "--tar");
    assert.equal(exitCode, 0, text + errors);
    assert.match(text, /as a layer over the image standard/);
    const listing = (await run("tar", ["-tvv", "--xattrs", "--xattrs-include=*", "-f", file])).text;
    assert.match(listing, / etc\/\.wh\.debian_version$/m);
    assert.match(listing, / usr\/share\/pixmaps\/\.wh\.\.wh\.\.opq$/m);
    assert.match(listing, / x: +20 security\.capability$/m);
    assert.doesNotMatch(listing, /trusted\.overlay/);
    const out = join(temp.path, "leave");
    await mkdir(out);
    await run("tar", ["-xf", file, "-C", out, "--xattrs", "--xattrs-include=*", "--exclude=.wh.*"]);
    const here = await run("sh", ["-c", listTree(out)]);
    assert.equal(here.text, inGuest);
    assert.match(here.text, /Package: leaving\nStatus: install ok installed/);
    await mags("run", "-p", "-w", "leave", "mv /usr/share/doc /usr/share/papers");
    await mags("stop", "leave");
    const moved = await server.magsd("store", "export", "leave", `${file}.2`, "--tar");
    assert.equal(moved.exitCode, 1, moved.text);
    assert.match(moved.text, /^MISSING {2}"usr\/share\/papers" was moved from .* of the image/m);
    const overlay = await server.magsd("store", "export", "leave", `${file}.3`, "--tar", "overlay");
    assert.equal(overlay.exitCode, 0, overlay.text + overlay.errors);
  });

  it("is as docs/workspaces.md says: its commands work, in their order", async () => {
    const page = await readFile(new URL("../docs/workspaces.md", import.meta.url), "utf8");
    const lines = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) => block.trim().split("\n"));
    assert.ok(lines.length > 20, page);
    await using temp = await makeTempDir();
    for (const line of lines) {
      const words = (await run("sh", ["-c", `printf '%s\\n' ${line}`])).text.trimEnd().split("\n");
      const [program, ...args] = words.map((word) => (/\.(tar|img)$/.test(word) ? join(temp.path, word) : word));
      const { exitCode, text, errors } = await (program === "mags" ? server.mags(args) : server.magsd(...args));
      assert.equal(exitCode, 0, `${line}: ${text}${errors}`);
    }
    assert.equal((await run("tar", ["-xOf", join(temp.path, "demo.tar"), "root/note"])).text, "one\n");
  });

  it("leaves nothing behind", async () => {
    const { text } = await server.magsd("doctor", "--leaks");
    assert.match(text, /^nothing leaked/m, text);
  });
});
