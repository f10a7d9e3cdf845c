import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { run } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";
import { type Access, accessTo, openSession, type Session, sshOptions } from "./harness/ssh.ts";

const JOBS = "/api/v1/mags-jobs";

let server: TestServer;
let temp: TempDir;
let access: Access;
/** Options by the job's own key, on its port. */
let own: string[];
/** A session in another VM. */
let chatty: Session;
/** A connection to it without a session. */
let forwarding: Session;

const magsOk = async (...args: string[]) => {
  const { exitCode, text, errors } = await server.mags(args);
  assert.equal(exitCode, 0, `mags ${args.join(" ")}: ${errors}${text}`);
  return text;
};
const statusOf = async (name: string) => {
  const { body } = await server.api.call("GET", `${JOBS}/${name}/status`);
  return body as { status: string; vm_id: string };
};
const ssh = (command: string, { as = "root", options = own } = {}) =>
  run("ssh", [...options, `${as}@127.0.0.1`, command], { timeoutMs: 180_000 });
async function sshOk(command: string): Promise<string> {
  const { exitCode, text, errors } = await ssh(command);
  assert.equal(exitCode, 0, `${command}: ${errors}`);
  return text;
}

async function newKey(name: string): Promise<string> {
  const file = join(temp.path, name);
  const { exitCode, errors } = await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file]);
  assert.equal(exitCode, 0, errors);
  return file;
}

/** By the job's own key. */
async function optionsFor(name: string): Promise<string[]> {
  const granted = await accessTo(server, name);
  const keyFile = join(temp.path, `key-${name}`);
  await writeFile(keyFile, granted.ssh_private_key, { mode: 0o600 });
  return sshOptions(temp.path, { ...granted, keyFile });
}
/** On the port of all jobs. */
const shared = async (keyFile: string) => {
  const { port } = (await server.serverStatus()).ssh;
  return sshOptions(temp.path, { ...access, ssh_port: port, keyFile });
};

before(async () => {
  server = await startServer({ node: { default_memory_mb: 512, pool: { min_idle: 1, max_idle: 3 } } });
  temp = await makeTempDir();
  await magsOk("new", "busy");
  chatty = openSession([...(await optionsFor("busy")), "root@127.0.0.1", "while echo up; do sleep 1; done"]);
  forwarding = openSession([...(await optionsFor("busy")), "-N", "root@127.0.0.1"]);
  await chatty.shows(/up/);
  await magsOk("new", "box");
  access = await accessTo(server, "box");
  own = await optionsFor("box");
});
after(async () => {
  for (const session of [chatty, forwarding]) session?.child.kill("SIGKILL");
  await server?.[Symbol.asyncDispose]();
  await temp?.[Symbol.asyncDispose]();
});

describe("signing in", () => {
  it("with a job's own key: on its port, and as its name on that of all jobs", async () => {
    const { ssh: told } = await server.serverStatus();
    assert.deepEqual([access.ssh_user, access.ssh_host_fingerprint], ["root", told.fingerprint]);
    assert.notEqual(access.ssh_port, told.port);
    const ran = await ssh("echo out; echo err >&2; pwd; exit 7");
    assert.deepEqual([ran.exitCode, ran.text, ran.errors], [7, "out\n/root\n", "err\n"]);
    const options = await shared(join(temp.path, "key-box"));
    const byName = await ssh("echo here", { as: "box", options });
    assert.deepEqual([byName.exitCode, byName.text, byName.errors], [0, "here\n", ""]);
  });

  it("with a key of the account, in whatever it has", async () => {
    const keyFile = await newKey("laptop");
    await magsOk("key", "add", `${keyFile}.pub`);
    const options = await shared(keyFile);
    for (const name of ["box", "busy"])
      assert.equal((await ssh("hostname", { as: name, options })).exitCode, 0, `to ${name}`);
    await magsOk("key", "rm", "laptop");
    assert.equal((await ssh("true", { as: "box", options })).exitCode, 255);
  });

  it("is refused in one way, whatever is wrong", async () => {
    const keyFile = join(temp.path, "key-box");
    const cases = [
      ["a key that nobody has", "box", await shared(await newKey("stranger"))],
      ["a name that there is not", "nothing", await shared(keyFile)],
      ["a name of another job", "busy", await shared(keyFile)],
      [
        "the port of another job",
        "root",
        await sshOptions(temp.path, { ...(await accessTo(server, "busy")), keyFile }),
      ],
    ] as const;
    for (const [what, as, options] of cases) {
      const { exitCode, errors } = await ssh("true", { as, options });
      assert.deepEqual([exitCode, errors.trim()], [255, `${as}@127.0.0.1: Permission denied (publickey).`], what);
    }
  });
});

describe("a session", () => {
  it("is a shell on a terminal", async () => {
    const session = openSession([...own, "-tt", "root@127.0.0.1"]);
    session.type("stty rows 31 cols 97; stty size; echo $TERM-$((40 + 2))\n");
    await session.shows(/31 97\r\n[^$]*-42/);
    session.type("exit 3\n");
    assert.equal(await session.ended(), 3);
  });

  it("wakes a VM that sleeps, with all that ran in it, and goes on when it falls asleep", async () => {
    await sshOk("echo kept > /dev/shm/kept; setsid sleep 4003 > /dev/null 2>&1 < /dev/null &");
    await magsOk("sleep", "box");
    const outside = createServer((_, response) => response.end("from outside\n")).listen(0, "127.0.0.1");
    await once(outside, "listening");
    const { port } = outside.address() as { port: number };
    const session = openSession([...own, "-tt", "-R", `8125:127.0.0.1:${port}`, "root@127.0.0.1"]);
    await session.shows(/[#$] $/, 180_000);
    session.type("cat /dev/shm/kept; pgrep -xf 'sleep 4003' | wc -l\n");
    await session.shows(/kept\r\n1\r\n/);
    await magsOk("sleep", "box");
    session.type("echo woken-$((40 + 2))\n");
    await session.shows(/woken-42/, 180_000);
    // What it listened on before it slept it listens on again.
    for (const [n, host] of ["127.0.0.1", "[::1]"].entries()) {
      session.type(`until curl -s http://${host}:8125/; do sleep 0.2; done; echo by-$((40 + ${n}))\n`);
      await session.shows(new RegExp(`from outside\\s+by-${40 + n}`));
    }
    session.type("exit\n");
    assert.equal(await session.ended(), 0);
    outside.close();
  });
});

describe("files", () => {
  const sum = "find . -type f -exec sha256sum {} + | sort -k2";
  let folder: string;
  let digests: string;
  before(async () => {
    folder = join(temp.path, "tree");
    await mkdir(join(folder, "sub folder"), { recursive: true });
    await writeFile(join(folder, "big"), randomBytes(5_000_000));
    for (let n = 0; n < 20; n++) await writeFile(join(folder, "sub folder", `file ${n}`), randomBytes(n * 1_000));
    digests = await sumOf(folder);
  });
  const sumOf = async (path: string) => (await run("sh", ["-c", `cd '${path}' && ${sum}`])).text;
  const same = async (there: string, back: string) => {
    assert.equal(await sshOk(`cd ${there} && ${sum}`), digests);
    assert.equal(await sumOf(back), digests);
  };
  const succeed = async (program: string, args: string[], input = "") => {
    const { exitCode, errors } = await run(program, args, { input, timeoutMs: 180_000 });
    assert.equal(exitCode, 0, `${program}: ${errors}`);
  };

  it("go there and back by scp", async () => {
    await succeed("scp", [...own, "-rq", folder, "root@127.0.0.1:by-scp"]);
    await succeed("scp", [...own, "-rq", "root@127.0.0.1:by-scp", join(temp.path, "by-scp")]);
    await same("by-scp", join(temp.path, "by-scp"));
  });

  it("go there and back by sftp", async () => {
    const back = join(temp.path, "by-sftp");
    const batch = `put -r "${folder}" by-sftp\nget -r by-sftp "${back}"\n`;
    await succeed("sftp", [...own, "-b", "-", "root@127.0.0.1"], batch);
    await same("by-sftp", back);
  });

  it("go there and back by rsync", async () => {
    const shell = ["ssh", ...own].join(" ");
    const back = join(temp.path, "by-rsync");
    await succeed("rsync", ["-a", "-e", shell, `${folder}/`, "root@127.0.0.1:by-rsync"]);
    await succeed("rsync", ["-a", "-e", shell, "root@127.0.0.1:by-rsync/", back]);
    await same("by-rsync", back);
  });
});

describe("forwarded connections", () => {
  async function pageAt(socketPath: string): Promise<string> {
    const [response] = (await once(get({ socketPath, path: "/" }), "response")) as [IncomingMessage];
    return text(response);
  }

  it("lead into the VM and out of it", async () => {
    const outside = createServer((_, response) => response.end("from outside"));
    await new Promise<void>((resolve) => outside.listen(0, "127.0.0.1", resolve));
    const { port } = outside.address() as { port: number };
    await sshOk("echo from inside > index.html; setsid python3 -m http.server 8123 > /dev/null 2>&1 < /dev/null &");
    const socket = join(temp.path, "forwarded");
    const ways = ["-L", `${socket}:127.0.0.1:8123`, "-R", `8124:127.0.0.1:${port}`];
    const session = openSession([...own, ...ways, "root@127.0.0.1", "echo on; exec cat"]);
    await session.shows(/on/);
    const inside = await waitFor(() => pageAt(socket).catch(() => undefined), {
      what: "the page of the VM",
      deadlineMs: 120_000,
    });
    assert.equal(inside, "from inside\n");
    assert.equal(await sshOk("curl -s http://127.0.0.1:8124/"), "from outside");
    session.child.stdin.end();
    assert.equal(await session.ended(), 0);
    outside.close();
  });
});

describe("what ends under a session", () => {
  it("is told when the job is stopped", async () => {
    await magsOk("stop", "busy");
    assert.equal(await chatty.ended(), 255);
    assert.match(chatty.text(), /mags: the VM has ended: stopped/);
    assert.equal(await forwarding.ended(), 255);
    assert.match(
      forwarding.text(),
      /^Received disconnect .*: job busy is not running: .*"mags ssh busy" starts it anew/m,
    );
  });

  it("is told when the VM is lost in the middle of a transfer, and the VM is there again at the next sign-in", async () => {
    const transfer = run("sh", ["-c", `exec "$@" > /dev/null`, "sh", "ssh", ...own, "root@127.0.0.1", "cat /dev/zero"]);
    await waitFor(async () => (await sshOk("pgrep -cxf 'cat /dev/zero'")) === "1\n", {
      what: "the transfer",
      deadlineMs: 60_000,
    });
    process.kill(await server.qemuPid((await statusOf("box")).vm_id), "SIGKILL");
    const { exitCode, errors } = await transfer;
    assert.equal(exitCode, 255);
    assert.match(errors, /^mags: /);
    assert.equal(await sshOk("echo again"), "again\n");
  });

  it("is told when the server is stopped; key, port and host key stay, and so does what left the session", async () => {
    await sshOk("tmux new-session -d -s kept; setsid sleep 4005 > /dev/null 2>&1 < /dev/null &");
    const session = openSession([...own, "root@127.0.0.1", "echo on; exec sleep 4006"]);
    await session.shows(/on/);
    const shell = openSession([...own, "-tt", "root@127.0.0.1"]);
    shell.type("nohup sleep 4008 > /dev/null 2>&1 &\nsleep 4009 &\necho started-$((40 + 2))\n");
    await shell.shows(/started-42/);
    assert.equal((await server.magsd("stop")).exitCode, 0);
    assert.equal(await session.ended(), 255);
    assert.equal(await shell.ended(), 255);
    assert.match(session.text(), /mags: the server is ending/);
    await server.start();
    assert.deepEqual(await accessTo(server, "box"), access);
    assert.equal(await sshOk("pgrep -xf 'sleep 400[58]' | wc -l; tmux has-session -t kept && echo yes"), "2\nyes\n");
    await ended("sleep 400[69]");
  });

  it("is ended by the next server when one is killed", async () => {
    const session = openSession([...own, "root@127.0.0.1", "echo on; exec sleep 4007"]);
    await session.shows(/on/);
    await server.kill();
    assert.equal(await session.ended(), 255);
    await server.start();
    await ended("sleep 4007");
  });

  it("is ended when the gateway dies, which hangs up and is told in the audit log; another is there at once", async () => {
    const session = openSession([...own, "root@127.0.0.1", "echo on; exec sleep 4010"]);
    await session.shows(/on/);
    const { pid } = JSON.parse(await readFile(join(server.dataDir, "gateway.json"), "utf8"));
    process.kill(pid, "SIGKILL");
    assert.equal(await session.ended(), 255);
    await waitFor(async () => (await ssh("true")).exitCode === 0, { what: "another gateway", deadlineMs: 30_000 });
    await ended("sleep 4010");
    const told = async () => /gateway_lost/.test(await magsOk("audit", "--action", "ssh_ended", "--json"));
    await waitFor(told, { what: "the end in the audit log", deadlineMs: 30_000 });
  });

  const ended = (command: string) =>
    waitFor(async () => (await sshOk(`pgrep -xf '${command}' | wc -l`)) === "0\n", {
      what: `the end of ${command}`,
      deadlineMs: 120_000,
    });
});

describe("afterwards", () => {
  it("the audit log has it all", async () => {
    const json = await magsOk("audit", "-n", "500", "--all", "--json");
    const { entries } = JSON.parse(json) as { entries: { action: string }[] };
    const actions = new Set(entries.map(({ action }) => action));
    for (const action of ["access_granted", "key_added", "key_removed"])
      assert.ok(actions.has(action), `${action}: ${[...actions]}`);
    for (const what of ["signed_in", "refused", "session", "forward", "ended"])
      assert.ok(actions.has(`ssh_${what}`), what);
  });

  it("nothing is left behind", async () => {
    await waitFor(async () => (await server.magsd("doctor", "--leaks")).exitCode === 0, {
      what: "no leak",
      deadlineMs: 60_000,
    });
    const lines = (await readFile(join(server.dataDir, "magsd.log"), "utf8")).split("\n");
    const errors = lines.filter((line) => /"level":"(error|fatal)"/.test(line) && !line.includes('"gateway.lost"'));
    assert.deepEqual(errors, []);
  });
});
