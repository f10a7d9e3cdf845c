/** What becomes of the files of a job, for each way to start one. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { putNpmPackage, putWheel } from "./harness/packages.ts";
import { startServer, type TestServer } from "./harness/server.ts";

let server: TestServer;
before(async () => {
  server = await startServer({ config: { workspaces: { warm_seconds: 10 } } });
  for (const name of ["golden", "silver"]) {
    await mags("run", "-p", "-w", name, "echo gold >/root/g");
    await mags("stop", name);
  }
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

/** Names of the synced workspaces. */
async function listed(): Promise<string[]> {
  const { body } = await server.api.call("GET", "/api/v1/mags-workspaces");
  return (body as { workspaces: { workspace_id: string }[] }).workspaces.map((one) => one.workspace_id);
}

const UNNAMED = "test ! -e /root/f && test ! -e /jfs && echo new >/root/f && cat /root/f";
const NAMED = "cat /root/f 2>/dev/null || echo nothing; echo kept >/root/f";

/** Until the VM of a workspace that was not kept has gone. */
async function untilCold(name: string): Promise<void> {
  const isGone = async () => {
    const { body } = await server.api.call("GET", `/api/v1/mags-jobs/${name}/events`);
    return JSON.stringify(body).includes('"name":"released"');
  };
  await waitFor(isGone, { what: `the end of the VM of ${name}`, deadlineMs: 60_000, intervalMs: 500 });
}

// Each has workspaces of its own, and VMs that others do not wait for. The longest comes first.
describe("files of a job", { concurrency: 3 }, () => {
  it("have what apt, pip and npm installed when they are opened again", async () => {
    await using temp = await makeTempDir();
    const files = join(temp.path, "parcel");
    putWheel(files);
    putNpmPackage(files, "http://registry.invalid");
    const tree = join(files, "deb");
    await mkdir(join(tree, "DEBIAN"), { recursive: true });
    await mkdir(join(tree, "usr/bin"), { recursive: true });
    const fields = {
      Package: "greeting",
      Version: "1.0",
      Architecture: "all",
      Maintainer: "test",
      Description: "test",
    };
    const control = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`);
    await writeFile(join(tree, "DEBIAN/control"), control.join(""));
    await writeFile(join(tree, "usr/bin/deb-greeting"), "#!/bin/sh\necho hello from apt\n");
    await chmod(join(tree, "usr/bin/deb-greeting"), 0o755);
    execFileSync("dpkg-deb", ["--root-owner-group", "--build", tree, join(files, "greeting.deb")], { stdio: "ignore" });

    await mags("new", "full", "-p");
    await mags("cp", "--", files, "full:/root/parcel");
    const installs = [
      "cd /root/parcel",
      "apt-get install -y --no-install-recommends ./greeting.deb",
      "pip install --no-index --no-deps --break-system-packages simple/greeting/*.whl",
      "npm install -g --offline ./npm/greeting-1.0.0.tgz",
      "rm -r /root/parcel",
    ];
    await mags("exec", "full", `(${installs.join(" && ")}) >/root/log 2>&1 || (cat /root/log; exit 1)`);
    await mags("stop", "full");
    const uses =
      "deb-greeting; dpkg -s greeting | grep Status; python3 -c 'import greeting; print(greeting.TEXT)'; greet";
    assert.equal(
      await mags("run", "-w", "full", "-p", uses),
      "hello from apt\nStatus: install ok installed\nhello from a wheel\nhello from npm\n",
    );
    await mags("stop", "full");
  });

  it("with no option are gone with it", async () => {
    assert.equal(await mags("run", UNNAMED), "new\n");
    assert.equal(await mags("run", UNNAMED), "new\n");
  });

  it("with -e are gone with it, and it takes no workspace", async () => {
    assert.equal(await mags("run", "-e", UNNAMED), "new\n");
    assert.equal(await mags("run", "-e", UNNAMED), "new\n");
    for (const other of [["-w", "x"], ["-p"], ["--base", "golden"]])
      assert.match(await refused("run", "-e", ...other, "true"), /-e|ephemeral/);
  });

  it("with -w stay for a while on the VM, and are not synced", async () => {
    assert.equal(await mags("run", "-w", "warm", `test ! -e /jfs; ${NAMED}`), "nothing\n");
    assert.equal(await mags("run", "-w", "warm", NAMED), "kept\n");
    assert.match(await refused("sync", "warm"), /local/);
    await untilCold("warm");
    assert.equal(await mags("run", "-w", "warm", NAMED), "nothing\n");
    assert.ok(!(await listed()).includes("warm"));
  });

  it("with -w and -p are kept", async () => {
    assert.equal(await mags("run", "-w", "kept", "-p", `test -d /jfs && ${NAMED}`), "nothing\n");
    await mags("stop", "kept");
    assert.equal(await mags("run", "-w", "kept", "-p", `test -d /jfs && ${NAMED}`), "kept\n");
    await mags("stop", "kept");
    assert.ok((await listed()).includes("kept"));
  });

  it("with --base begin as those of the base, and what changes is dropped", async () => {
    assert.equal(await mags("run", "--base", "golden", "cat /root/g; echo other >/root/g"), "gold\n");
    assert.equal(await mags("run", "--base", "golden", "cat /root/g"), "gold\n");
  });

  it("with --base and -w are a local fork", async () => {
    assert.equal(await mags("run", "--base", "golden", "-w", "draft", "cat /root/g; echo mine >>/root/g"), "gold\n");
    assert.equal(await mags("run", "--base", "golden", "-w", "draft", "cat /root/g"), "gold\nmine\n");
    assert.ok(!(await listed()).includes("draft"));
    await untilCold("draft");
    assert.equal(await mags("run", "--base", "golden", "-w", "draft", "cat /root/g"), "gold\n");
  });

  it("with --base, -w and -p are a fork that is kept, and is not made again", async () => {
    const fork = ["run", "--base", "golden", "-w", "fork", "-p"];
    assert.equal(await mags(...fork, "cat /root/g; echo mine >>/root/g"), "gold\n");
    await mags("stop", "fork");
    assert.equal(await mags(...fork, "cat /root/g"), "gold\nmine\n");
    await mags("stop", "fork");
    assert.match(await refused("run", "--base", "silver", "-w", "fork", "-p", "true"), /already exists.*golden/s);
    assert.equal(await mags("run", "--base", "golden", "cat /root/g"), "gold\n");
  });

  it("of new stay until it is stopped", async () => {
    await mags("new", "desk");
    await mags("exec", "desk", "test ! -e /jfs; echo kept >/root/f");
    await mags("sleep", "desk");
    assert.equal(await mags("exec", "desk", "cat /root/f"), "kept\n");
    await mags("stop", "desk");
    assert.ok(!(await listed()).includes("desk"));
    assert.equal(await mags("run", "-w", "desk", NAMED), "nothing\n");
  });

  it("of new -p are kept", async () => {
    await mags("new", "home", "-p");
    await mags("exec", "home", "echo kept >/jfs/f");
    await mags("stop", "home");
    await mags("new", "home", "-p");
    assert.equal(await mags("exec", "home", "cat /jfs/f"), "kept\n");
    await mags("stop", "home");
  });

  it("of a kept workspace are opened at their latest version without -p, which says that changes are dropped", async () => {
    await mags("run", "-w", "past", "-p", "echo 1 >/root/n");
    await mags("stop", "past");
    assert.equal(await mags("run", "-w", "past", "cat /root/n; echo 2 >/root/n"), "1\n");
    assert.match((await server.mags(["logs", "--system", "past"])).errors, /workspace past is open as a copy/);
    await mags("run", "-w", "past", "-p", "test $(cat /root/n) = 1");
    await mags("stop", "past");
  });

  it("of a local workspace become its first version with -p, also of one made by new", async () => {
    await mags("run", "-w", "grown", "echo 1 >/root/n");
    assert.equal(await mags("run", "-w", "grown", "-p", "cat /root/n; echo 2 >/jfs/n"), "1\n");
    await mags("stop", "grown");
    assert.match(await mags("workspace", "versions", "grown"), /promotion/);
    assert.equal(await mags("run", "-w", "grown", "-p", "cat /root/n /jfs/n"), "1\n2\n");
    await mags("stop", "grown");
    await mags("new", "den");
    await mags("exec", "den", "echo 3 >/root/n");
    await mags("run", "-w", "den", "-p", "true");
    await mags("stop", "den");
    assert.equal(await mags("run", "-w", "den", "-p", "cat /root/n"), "3\n");
    await mags("stop", "den");
  });

  it("cannot begin as those of a base that is not there, or was never synced", async () => {
    assert.match(await refused("run", "--base", "nowhere", "true"), /nowhere/);
    await mags("new", "raw");
    assert.match(await refused("run", "--base", "raw", "true"), /raw.*(sync|-p)/s);
    await mags("stop", "raw");
  });
});

// It looks at all workspaces.
describe("files of a job alone", () => {
  it("with -p alone live as long as the VM, and have no name", async () => {
    const names = await listed();
    const id = await server.submit({ script: "echo kept >/root/f; test ! -e /jfs", persistent: true });
    await waitFor(async () => (await server.status(id)).exit_code === 0, { what: "its script", deadlineMs: 30_000 });
    await mags("sleep", id);
    assert.equal(await mags("exec", id, "cat /root/f"), "kept\n");
    assert.match(await refused("sync", id), /workspace/);
    await mags("stop", id);
    await refused("exec", id, "cat /root/f");
    assert.deepEqual(await listed(), names);
  });
});
