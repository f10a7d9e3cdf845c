import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { promisify } from "node:util";
import { type CliBench, createCliBench } from "./cli-process.ts";
import { type ScriptedApi, SSH_SERVICE, send, startScriptedApi } from "./scripted-api.ts";

const run = promisify(execFile);
let api: ScriptedApi;
let cli: CliBench;
let keys: { fingerprint: string }[];
let spareKey: string;
const inSsh = (name: string) => join(cli.home, ".ssh", name);
const ours = () => readFile(inSsh("mags/config"), "utf8");

before(async () => {
  api = await startScriptedApi();
  cli = await createCliBench(api);
  spareKey = join(cli.folder, "key");
  await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", spareKey]);
  api.play = (job) => {
    job.status.status = "running";
  };
  for (const name of ["box", "other"]) assert.equal((await cli.run(["new", name])).code, 0);
});
beforeEach(async () => {
  await mkdir(inSsh(""), { recursive: true, mode: 0o700 });
  for (const [from, to] of [
    ["key", "id_ed25519"],
    ["key.pub", "id_ed25519.pub"],
  ] as const)
    await copyFile(join(cli.folder, from), inSsh(to));
  const { stdout } = await run("ssh-keygen", ["-lf", `${spareKey}.pub`]);
  keys = [{ fingerprint: stdout.split(" ")[1] ?? "" }];
  api.intercept = ({ path }, reply) => {
    if (path !== "/api/v1/ssh-keys") return false;
    send(reply, 200, { keys });
    return true;
  };
});
afterEach(() => rm(inSsh(""), { recursive: true }));
after(async () => {
  await cli[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});

/** Runs a command line that must succeed. @returns what it prints. */
async function mags(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli.run(args);
  assert.equal(code, 0, stderr);
  return stdout.toString();
}

/** What ssh makes of a configuration for a host: values by lower-case name. */
async function asSshReadsIt(file: string, host: string): Promise<Map<string, string>> {
  const { stdout } = await run("ssh", ["-G", "-F", file, host]);
  return new Map(stdout.split("\n").map((line) => [line.replace(/ .*/, ""), line.replace(/^\S+ /, "")]));
}

async function assertReaches(file: string, name: string): Promise<void> {
  const options = await asSshReadsIt(file, `mags-${name}`);
  for (const [option, value] of Object.entries({
    ...{ hostname: "127.0.0.1", port: "2222", user: name, identityfile: inSsh("id_ed25519"), identitiesonly: "yes" },
    ...{ userknownhostsfile: inSsh("mags/known_hosts"), stricthostkeychecking: "true" },
  }))
    assert.equal(options.get(option), value, option);
}

describe("mags ssh-config", () => {
  it("prints an entry for each sandbox that lives, which ssh can read, and keeps the host key", async () => {
    const text = await mags("ssh-config");
    assert.deepEqual(text.match(/^Host .*$/gm), ["Host mags-box", "Host mags-other"]);
    assert.match(text, new RegExp(`# Host key: ${SSH_SERVICE.fingerprint.replace(/[+]/g, "\\+")}`));
    const file = join(cli.folder, "printed");
    await writeFile(file, text);
    await assertReaches(file, "other");
    assert.equal(await readFile(inSsh("mags/known_hosts"), "utf8"), `[127.0.0.1]:2222 ${SSH_SERVICE.host_key}\n`);
    assert.deepEqual(await readdir(inSsh("")), ["id_ed25519", "id_ed25519.pub", "mags"]);
  });

  it("keeps entries, adds others later, and is the same when it is repeated", async () => {
    assert.match(await mags("ssh-config", "box", "--write"), /ssh mags-box\n/);
    await mags("ssh-config", "golden", "--write");
    const [first, included] = [await ours(), await readFile(inSsh("config"), "utf8")];
    await mags("ssh-config", "box", "golden", "--write");
    assert.deepEqual([await ours(), await readFile(inSsh("config"), "utf8")], [first, included]);
    for (const name of ["box", "golden"]) await assertReaches(inSsh("config"), name);
    for (const [path, mode] of [
      ["config", 0o600],
      ["mags", 0o700],
      ["mags/config", 0o600],
      ["mags/known_hosts", 0o600],
    ] as const)
      assert.equal((await stat(inSsh(path))).mode & 0o777, mode, path);
  });

  it("leaves what the user has in his configuration, keeps a copy, and takes all of its own away again", async () => {
    const mine = "Host mine\n  User me";
    await writeFile(join(cli.folder, "dotfile"), mine);
    await chmod(join(cli.folder, "dotfile"), 0o644);
    await symlink(join(cli.folder, "dotfile"), inSsh("config"));
    await mags("ssh-config", "box", "other", "--write");
    assert.equal((await stat(join(cli.folder, "dotfile"))).mode & 0o777, 0o644);
    assert.equal(await readFile(inSsh("config.before-mags"), "utf8"), mine);
    assert.equal((await asSshReadsIt(inSsh("config"), "mine")).get("user"), "me");
    await assertReaches(inSsh("config"), "box");
    await mags("ssh-config", "box", "--remove");
    assert.doesNotMatch(await ours(), /mags-box/);
    await assertReaches(inSsh("config"), "other");
    assert.match(await mags("ssh-config", "box", "--remove"), /nothing to remove/);
    await mags("ssh-config", "--remove");
    assert.equal(await readFile(inSsh("config"), "utf8"), mine);
    assert.deepEqual(await readdir(inSsh("")), ["config", "id_ed25519", "id_ed25519.pub"]);
    assert.match(await mags("ssh-config", "--remove"), /nothing to remove/);
  });

  it("leaves what others have put beside its own", async () => {
    await mags("ssh-config", "box", "--write");
    await writeFile(inSsh("mags/mine"), "mine");
    await mags("ssh-config", "--remove");
    assert.deepEqual(await readdir(inSsh("mags")), ["mine"]);
    assert.match(await mags("ssh-config", "--remove"), /nothing to remove/);
  });

  it("names the key that the account has, or the one it is told, or none", async () => {
    await rm(inSsh("id_ed25519"));
    assert.match(await mags("ssh-config", "box"), /IdentityFile \S+id_ed25519\.pub\n/);
    await copyFile(spareKey, join(cli.home, "my key%"));
    assert.match(await mags("ssh-config", "box", "-i", "~/my key%"), /IdentityFile "~\/my key%%"\n/);
    assert.match(
      await mags("ssh-config", "box", "-i", relative(process.cwd(), spareKey)),
      new RegExp(`IdentityFile ${spareKey}\n`),
    );
    keys = [{ fingerprint: "SHA256:another" }];
    const { stdout, stderr } = await cli.run(["ssh-config", "box"]);
    assert.doesNotMatch(stdout.toString(), /Identit/);
    assert.match(stderr, /no key of your account lies in ~\/\.ssh/);
    keys = [];
    const none = await cli.run(["ssh-config", "box"]);
    assert.deepEqual([none.code, none.stderr.split("\n")[1]], [1, "Add yours with: mags key add"]);
  });

  it("refuses a key file that is not there or is none, and warns of one that the account does not have", async () => {
    await writeFile(inSsh("notes"), "no key");
    for (const [file, message] of [
      [inSsh("nothing"), /^error: cannot read the key \S+nothing: there is no such file/],
      ["~/.ssh/notes", /^error: \S+notes is no SSH key/],
    ] as const) {
      const { code, stderr } = await cli.run(["ssh-config", "box", "--write", "-i", file]);
      assert.equal(code, 1);
      assert.match(stderr, message);
    }
    assert.ok(!(await readdir(inSsh(""))).includes("mags"));
    const registered = await cli.run(["ssh-config", "box", "-i", spareKey]);
    assert.deepEqual([registered.code, registered.stderr], [0, ""]);
    keys = [{ fingerprint: "SHA256:another" }];
    for (const file of [spareKey, `${spareKey}.pub`]) {
      const { code, stderr } = await cli.run(["ssh-config", "box", "-i", file]);
      assert.equal(code, 0);
      assert.match(stderr, /is not a key of your account; add it with: mags key add/);
    }
  });

  it("refuses names of nothing, and a server without SSH", async () => {
    const unknown = await cli.run(["ssh-config", "nobody", "--write"]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /there is no sandbox nobody\nMake it with: mags new nobody/);
    const { intercept } = api;
    api.intercept = (request, reply) => {
      if (request.path !== "/api/v1/ssh") return intercept(request, reply);
      send(reply, 200, { enabled: false, host: null, port: null, host_key: null, fingerprint: null });
      return true;
    };
    const off = await cli.run(["ssh-config"]);
    assert.deepEqual([off.code, off.stderr.split("\n")[0]], [1, "error: this server takes no SSH connections"]);
    assert.equal((await cli.run(["whoami"])).stdout.toString().includes("SSH"), false);
  });

  it("writes and prints nothing of a server that tells what ssh would read as more than it is", async () => {
    const { intercept } = api;
    for (const [part, value] of Object.entries({
      host: "h\nHost *\n  ProxyCommand touch /",
      port: "22\n  ProxyCommand touch /",
      host_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Q\n* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Q",
      fingerprint: "x\nHost *\n  ProxyCommand touch /",
    })) {
      api.intercept = (request, reply) => {
        if (request.path !== "/api/v1/ssh") return intercept(request, reply);
        send(reply, 200, { ...SSH_SERVICE, [part]: value });
        return true;
      };
      for (const args of [["box"], ["box", "--write"]]) {
        const { code, stdout, stderr } = await cli.run(["ssh-config", ...args]);
        assert.deepEqual([code, stdout.toString()], [1, ""]);
        assert.match(stderr, /^error: the server tells a \S.* that ssh is not given: "/, part);
      }
    }
    api.intercept = intercept;
    const job = api.jobs.find(({ status }) => status.name === "box") ?? assert.fail("there is no box");
    job.status.name = "x\n  ProxyCommand touch /";
    const { code, stderr } = await cli.run(["ssh-config", "--write"]);
    job.status.name = "box";
    assert.equal(code, 1);
    assert.match(stderr, /tells a name that ssh is not given: "x\\n/);
    assert.deepEqual(await readdir(inSsh("")), ["id_ed25519", "id_ed25519.pub"]);
  });
});
