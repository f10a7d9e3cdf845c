import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { type CliBench, createCliBench, type RunningCli, until } from "./cli-process.ts";
import { type ScriptedApi, SSH_ACCESS, send, startScriptedApi } from "./scripted-api.ts";
import { runHere } from "./scripted-job.ts";
import { createScriptedSsh, type ScriptedSsh } from "./scripted-ssh.ts";

let api: ScriptedApi;
let cli: CliBench;
let ssh: ScriptedSsh;
let runtime: string;
let env: Record<string, string>;
before(async () => {
  api = await startScriptedApi();
  cli = await createCliBench(api);
  ssh = await createScriptedSsh(cli.folder);
  runtime = join(cli.folder, "run");
  await mkdir(runtime);
  env = { PATH: ssh.path, XDG_RUNTIME_DIR: runtime };
});
after(async () => {
  await cli[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});
afterEach(async () => {
  api.play = runHere;
  api.intercept = () => false;
  api.jobs.length = 0;
  api.requests.length = 0;
  assert.deepEqual(await readdir(runtime), []);
});

function live(name: string): void {
  api.play = (job) => {
    job.status.status = "running";
  };
  assert.equal(api.jobs.length, 0, name);
}
const make = async (name: string) => {
  live(name);
  assert.equal((await cli.run(["new", name])).code, 0);
  api.requests.length = 0;
};
const last = () => ssh.calls().at(-1) ?? assert.fail("ssh was not called");
/** A run whose ssh has begun, and goes on until its input ends. */
async function begin(): Promise<RunningCli> {
  const before = ssh.calls().length;
  const running = cli.start(["ssh", "box", "cat"], { env, input: { open: true } });
  await until("ssh", () => ssh.calls().length > before);
  return running;
}

describe("mags ssh", () => {
  it("starts ssh with what the server tells, and passes input, output and exit code on", async () => {
    await make("box");
    const { code, stdout, stderr } = await cli.run(["ssh", "box", "--", "tr a b; echo err >&2; exit 7"], {
      env,
      input: "banana",
    });
    assert.deepEqual([code, stdout.toString(), stderr], [7, "bbnbnb", "err\n"]);
    const { options, args, files } = last();
    assert.deepEqual(args.slice(args.indexOf("--")), ["--", "box", "tr a b; echo err >&2; exit 7"]);
    assert.ok(!args.includes("-t"));
    for (const [name, value] of Object.entries({
      ...{ HostName: "127.0.0.1", Port: "40123", User: "root", StrictHostKeyChecking: "yes", IdentitiesOnly: "yes" },
      ...{ HostKeyAlias: "mags", BatchMode: "yes" },
    }))
      assert.equal(options[name], value, name);
    assert.deepEqual(files, {
      IdentityFile: { mode: "600", text: SSH_ACCESS.ssh_private_key },
      UserKnownHostsFile: { mode: "600", text: `mags ${SSH_ACCESS.ssh_host_key}\n` },
      folder: { mode: "700", text: "" },
    });
    assert.deepEqual(api.requests.map(({ method, path, body }) => [method, path, body]).at(-1), [
      "POST",
      "/api/v1/mags-jobs/box/access",
      { port: 22 },
    ]);
  });

  it("passes options of ssh on, which cannot change what the server tells", async () => {
    await make("box");
    await cli.run(["ssh", "-vL", "1:h:2", "box", "-o", "HostKeyAlias=x", "-o", "LogLevel=QUIET", "true"], { env });
    const { args, options } = last();
    const given = args.indexOf("-vL");
    assert.deepEqual(args.slice(given, given + 6), ["-vL", "1:h:2", "-o", "HostKeyAlias=x", "-o", "LogLevel=QUIET"]);
    assert.notEqual(options.HostKeyAlias, "x");
    assert.equal(options.LogLevel, "QUIET");
  });

  it("asks for a terminal where there is one here", async () => {
    await make("box");
    const { code } = await cli.startOnTerminal("ssh box 'test -t 0'", { env }).ended;
    assert.equal(code, 0);
    assert.ok(last().args.includes("-t"));
  });

  it("makes a sandbox where there is none, and says so", async () => {
    live("fresh");
    const { code, stdout, stderr } = await cli.run(["ssh", "fresh", "echo", "hello"], { env });
    assert.deepEqual([code, stdout.toString()], [0, "hello\n"]);
    assert.match(stderr, /there is no sandbox fresh; making one/);
    assert.deepEqual(api.requests.find(({ body }) => (body as { name?: string })?.name === "fresh")?.body, {
      ...{ script: "sleep infinity", type: "inline", persistent: true, name: "fresh", workspace_id: "fresh" },
      ...{ no_sync: true, startup_command: "sleep infinity" },
    });
  });

  it("makes none in place of a job that was named by its id and has ended", async () => {
    api.play = runHere;
    const { stdout } = await cli.run(["run", "-n", "brief", "--json", "true"]);
    const { request_id: id } = JSON.parse(stdout.toString());
    const { code, stderr } = await cli.run(["ssh", id], { env });
    assert.deepEqual([code, stderr], [1, `error: job ${id} has ended\nA sandbox of its name: mags ssh brief\n`]);
  });

  it("says what is wrong with what can be no sandbox's name, and makes none", async () => {
    const long = "x".repeat(300);
    for (const [given, pattern] of [
      [long, /^error: there can be no sandbox "x{80}…": a name has 1 to 63 letters/],
      ["a b", /^error: there can be no sandbox "a b": a name has/],
      ["a\u001b[2J", /^error: there can be no sandbox "a\\u001b\[2J": a name has/],
      ["usage", /^error: there can be no sandbox "usage": that is a path of the API\n/],
      ["6F9619FF-8b86-4d01-b42d-00c04fc964ff", /^error: there is no job 6F9619FF-.*\n.*mags list\n/],
    ] as const) {
      const { code, stderr } = await cli.run(["ssh", given, "true"], { env });
      assert.equal(code, 1);
      assert.match(stderr, pattern);
      const asked = given.startsWith("6F") ? ["GET"] : [];
      assert.deepEqual(
        api.requests.map(({ method }) => method),
        asked,
      );
    }
  });

  it("makes it with sync where a synced workspace has its name", async () => {
    live("golden");
    assert.equal((await cli.run(["ssh", "golden", "true"], { env })).code, 0);
    assert.deepEqual([api.jobs.at(-1)?.body.persistent, api.jobs.at(-1)?.body.no_sync], [true, undefined]);
  });

  it("waits for a sandbox that has no VM yet", async () => {
    await make("box");
    let refusals = 3;
    api.intercept = ({ path }, reply) => {
      if (!path.endsWith("/access") || refusals-- <= 0) return false;
      send(reply, 409, { error: "no VM associated with this job", code: "no_vm" });
      return true;
    };
    assert.equal((await cli.run(["ssh", "box", "true"], { env })).code, 0);
  });

  it("says what the server says when there can be no access", async () => {
    await make("box");
    api.intercept = ({ path }, reply) => {
      if (!path.endsWith("/access")) return false;
      send(reply, 400, { error: "only persistent jobs are reached by SSH", code: "not_supported" });
      return true;
    };
    const { code, stderr } = await cli.run(["ssh", "box"], { env });
    assert.deepEqual([code, stderr], [1, "error: only persistent jobs are reached by SSH\n"]);
  });

  it("gives ssh nothing of a server that tells what is no host, port, user or key", async () => {
    await make("box");
    const before = ssh.calls().length;
    for (const [part, value] of Object.entries({
      ssh_host: "-oProxyCommand=touch /",
      ssh_port: 0,
      ssh_user: "root\n%h",
      ssh_host_key: "ssh-ed25519",
      ssh_host_fingerprint: "x\ny",
    })) {
      api.intercept = ({ path }, reply) => {
        if (!path.endsWith("/access")) return false;
        send(reply, 200, { ...SSH_ACCESS, [part]: value });
        return true;
      };
      const { code, stderr } = await cli.run(["ssh", "box", "true"], { env });
      assert.equal(code, 1);
      assert.match(stderr, /^error: the server tells a \S.* that ssh is not given: /, part);
    }
    assert.equal(ssh.calls().length, before);
  });

  it("says what to do where there is no ssh program, and leaves no key", async () => {
    await make("box");
    const { code, stderr } = await cli.run(["ssh", "box"], { env: { ...env, PATH: "/nowhere" } });
    assert.equal(code, 1);
    assert.match(stderr, /no ssh program.*\n.*openssh-client.*\n.*mags exec -t box/);
  });

  it("names the folder for temporary files that is none, and needs it only where no other takes the key", async () => {
    await make("box");
    const TMPDIR = join(cli.folder, "nowhere");
    assert.equal((await cli.run(["ssh", "box", "true"], { env: { ...env, TMPDIR } })).code, 0);
    for (const [temporary, why] of [
      [TMPDIR, "there is no such folder"],
      [cli.program, "that is no folder"],
    ] as const) {
      const without = { PATH: ssh.path, TMPDIR: temporary, XDG_RUNTIME_DIR: TMPDIR };
      const { code, stderr } = await cli.run(["ssh", "box", "true"], { env: without });
      assert.equal(code, 1);
      assert.ok(stderr.startsWith(`error: cannot make a temporary folder in ${temporary}: ${why}\n`), stderr);
      assert.match(stderr, /TMPDIR/);
    }
  });

  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    it(`passes ${signal} on, and its key is gone after it`, async () => {
      await make("box");
      const { child, ended } = await begin();
      child.kill(signal);
      const [code] = await once(child, "exit");
      assert.equal(code, { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal]);
      child.stdin?.end();
      await ended;
    });

  it("removes the key that a killed run has left, and no other's", async () => {
    await make("box");
    const other = await mkdtemp(join(runtime, `mags-ssh-${process.pid}-`));
    const running = await begin();
    running.child.kill("SIGKILL");
    await once(running.child, "exit");
    const [key] = (await readdir(runtime)).filter((name) => join(runtime, name) !== other);
    assert.ok(key);
    running.child.stdin?.end();
    await running.ended;
    assert.equal((await cli.run(["ssh", "box", "true"], { env })).code, 0);
    assert.deepEqual(
      (await readdir(runtime)).map((name) => join(runtime, name)),
      [other],
    );
    await rm(other, { recursive: true });
  });
});
