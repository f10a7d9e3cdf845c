import assert from "node:assert/strict";
import { chmod, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { makeTree, ociArchive, savedArchive, tarOf } from "./harness/guest-tree.ts";
import { startServer, type TestServer } from "./harness/index.ts";

let server: TestServer;
let temp: TempDir;
/** Archives by name. */
const at = (name: string) => join(temp.path, name);
before(async () => {
  temp = await makeTempDir();
  await makeTree(at("tree"));
  await writeFile(at("tree.tar.gz"), gzipSync(tarOf(at("tree"))));
  server = await startServer({ node: { pool: { min_idle: 1, max_idle: 2 }, templates_kept: 8 } });
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  await temp?.[Symbol.asyncDispose]();
});

const image = async (...args: string[]) => {
  const { exitCode, text, errors } = await server.magsd("image", ...args);
  return { exitCode, text, errors };
};
interface ListedImage {
  readonly names: readonly string[];
  readonly digest: string;
  readonly installed: boolean;
  readonly tools: { readonly found: readonly string[]; readonly missing: readonly string[] } | null;
}
const list = async () => (JSON.parse((await image("list", "--json")).text) as { images: ListedImage[] }).images;
const contents = async () =>
  (await readdir(join(server.dataDir, "images"))).filter((name) => /^[0-9a-f]{64}$/.test(name));
const builds = async () => (await readdir(join(server.dataDir, "images"))).filter((name) => name.startsWith("build-"));

describe("an imported image", () => {
  it("runs scripts at once when it was imported, without a restart; the import says what it lacks", async () => {
    const imported = await image("import", "tiny", at("tree.tar.gz"));
    assert.equal(imported.exitCode, 0, imported.errors);
    assert.match(imported.text, /imported image tiny[\s\S]*no CA certificates[\s\S]*lacks.*bash.*curl.*git/);
    const { exitCode, text, errors } = await server.mags([
      ...["run", "--image", "tiny"],
      "cat /etc/os-release; echo kept > /root/x; cat /root/x; rm /root/x; echo $0 > /tmp/y; exit 3",
    ]);
    assert.equal(text, "ID=tiny\nkept\n", errors);
    assert.equal(exitCode, 3);
    const [standard, tiny] = await list();
    assert.deepEqual([standard?.names, standard?.installed], [["standard"], true]);
    assert.deepEqual([tiny?.names, tiny?.installed, tiny?.tools?.found], [["tiny"], false, []]);
    assert.match((await image("list")).text, /^NAME +DIGEST.*\nstandard .*installation\ntiny .*tree\.tar\.gz\n$/);
  });

  it("is asked for by name only: another name is refused with those there are", async () => {
    const { exitCode, errors } = await server.mags(["run", "--image", "claude", "true"]);
    assert.equal(exitCode, 1);
    assert.match(errors, /there is no image "claude"; there are standard, tiny/);
  });

  it("of container layers has what the upper ones leave, and the import of a layer without a shell says so", async () => {
    for (const path of ["gone", "hidden/old", "upper/etc", "upper/hidden"])
      await mkdir(join(temp.path, path.startsWith("upper") ? "" : "tree", path), { recursive: true });
    await writeFile(at("tree/gone/file"), "x");
    const lower = tarOf(at("tree"));
    await rm(at("tree/gone"), { recursive: true });
    await rm(at("tree/hidden"), { recursive: true });
    await writeFile(at("upper/etc/os-release"), "ID=upper\n");
    await writeFile(at("upper/.wh.gone"), "");
    await writeFile(at("upper/hidden/.wh..wh..opq"), "");
    await writeFile(at("upper/hidden/new"), "");
    const upper = tarOf(at("upper"));
    await writeFile(at("oci.tar"), ociArchive([lower, upper]));
    await writeFile(at("saved.tar.gz"), gzipSync(savedArchive([lower, upper])));
    await writeFile(at("shell-less.tar"), ociArchive([upper]));

    const [oci, saved] = [
      await image("import", "layers", at("oci.tar")),
      await image("import", "saved", at("saved.tar.gz")),
    ];
    assert.deepEqual([oci.exitCode, saved.exitCode], [0, 0], oci.errors + saved.errors);
    const script = "cat /etc/os-release; [ -e /gone ] || echo gone; for f in /hidden/*; do echo $f; done";
    assert.equal((await server.mags(["run", "--image", "layers", script])).text, "ID=upper\ngone\n/hidden/new\n");
    const digests = (await list()).filter(({ names }) => /layers|saved/.test(names.join())).map(({ digest }) => digest);
    assert.equal(digests.length, 1, "the same files are one content");

    const bare = await image("import", "bare", at("shell-less.tar"));
    assert.equal(bare.exitCode, 1);
    assert.match(bare.errors, /shell-less\.tar cannot be imported: it has no \/bin\/sh/);
    assert.deepEqual(await builds(), []);
  });

  it("that cannot run a script is not registered, and the import says why", async () => {
    await mkdir(at("broken/bin"), { recursive: true });
    await writeFile(at("broken/bin/sh"), "\x7fELF of another machine");
    await chmod(at("broken/bin/sh"), 0o755);
    await writeFile(at("broken.tar"), tarOf(at("broken")));
    const before = await contents();
    const { exitCode, errors } = await image("import", "broken", at("broken.tar"));
    assert.equal(exitCode, 1);
    assert.match(errors, /a guest of image broken did not come up: .*ENOEXEC/);
    assert.ok(!(await list()).some(({ names }) => names.includes("broken")));
    assert.deepEqual([await contents(), await builds()], [before, []]);
  });

  it("stays while a job runs in it, and is removed with its content and templates when none does", async () => {
    const id = await server.submit({ script: "read forever < /dev/zero", rootfs_type: "tiny" });
    await waitFor(async () => (await server.status(id)).status === "running", {
      what: "a running job",
      deadlineMs: 60_000,
    });
    const refused = await image("rm", "tiny");
    assert.equal(refused.exitCode, 1);
    assert.match(refused.errors, new RegExp(`image tiny is in use by job ${id}`));
    await server.magsd("stop");
    const offline = await image("rm", "tiny");
    assert.equal(offline.exitCode, 1);
    assert.match(offline.errors, new RegExp(`image tiny is in use by job ${id}`));
    await server.start();
    await server.mags(["stop", id]);
    const before = await contents();
    assert.equal((await image("rm", "tiny")).exitCode, 0);
    assert.equal((await contents()).length, before.length - 1);
    assert.match((await server.mags(["run", "--image", "tiny", "true"])).errors, /there is no image "tiny"/);
  });

  it("keeps its old content while a job runs in it and its name means another; then gc removes that", async () => {
    assert.equal((await image("import", "moving", at("tree.tar.gz"))).exitCode, 0);
    const script = "while [ ! -e /root/go ]; do :; done; cat /etc/os-release";
    const id = await server.submit({ script, rootfs_type: "moving" });
    await waitFor(async () => (await server.status(id)).status === "running", {
      what: "a running job",
      deadlineMs: 60_000,
    });
    assert.equal((await image("import", "moving", at("oci.tar"))).exitCode, 0);
    assert.equal((await server.mags(["run", "--image", "moving", "cat /etc/os-release"])).text, "ID=upper\n");
    assert.match((await image("gc")).text, /nothing to remove/);
    assert.match((await image("list")).text, /\(no name\)/);
    await server.mags(["exec", id, "echo > /root/go"]);
    assert.equal((await server.ended(id)).exit_code, 0);
    assert.equal((await server.mags(["logs", id])).text, "ID=tiny\n");
    assert.match((await image("gc")).text, /^removed sha256:/);
    assert.ok(!(await list()).some(({ names }) => names.length === 0));
  });

  it("can be imported while the server is down; a job that waits for one that was removed ends in error", async () => {
    await server.magsd("stop");
    const imported = await image("import", "offline", at("tree.tar.gz"));
    assert.equal(imported.exitCode, 0, imported.errors);
    await server.start();
    assert.equal((await server.mags(["run", "--image", "offline", "echo works"])).text, "works\n");

    await server.magsd("stop");
    await server.configure({ memory_floor_mb: 1_000_000 }); // jobs run one at a time
    await server.start();
    const running = await server.submit({ script: "sleep 1000" });
    await waitFor(async () => (await server.status(running)).status === "running", {
      what: "a running job",
      deadlineMs: 60_000,
    });
    const waiting = await server.submit({ script: "true", rootfs_type: "offline" });
    assert.match((await image("rm", "offline")).errors, new RegExp(`in use by job ${waiting}`));
    await server.kill();
    assert.equal((await image("rm", "offline")).exitCode, 0);
    await server.start();
    await server.mags(["stop", running]);
    const { status, error_message: reason = "" } = await server.ended(waiting);
    assert.equal(status, "error");
    assert.match(reason, /could not be started: there is no image "offline"/);
  });

  it("leaves nothing on the host but what its name means", async () => {
    const { exitCode, text, errors } = await server.magsd("doctor", "--leaks");
    assert.equal(exitCode, 0, text + errors);
  });

  it("that comes with the installation can be neither removed nor replaced; bad names and archives are refused", async () => {
    assert.match((await image("rm", "standard")).errors, /image standard comes with the installation/);
    assert.match((await image("import", "standard", at("tree.tar.gz"))).errors, /cannot be replaced/);
    assert.match((await image("rm", "nobody")).errors, /there is no image "nobody"; there are standard/);
    assert.match((await image("import", "../x", at("tree.tar.gz"))).errors, /no name for an image: use/);
    assert.match((await image("import", "x", at("nothing"))).errors, /there is no such file/);
    await symlink("/etc/passwd", at("link.tar"));
    assert.match((await image("import", "x", at("link.tar"))).errors, /no tar archive/);
  });
});
