import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { REPOSITORY, type ScratchMachine, startScratchMachine } from "./harness/scratch-machine.ts";

let machine: ScratchMachine;
before(async () => {
  for (const built of ["node_modules/.installed-from", "dist/.built-from"])
    assert.ok(
      existsSync(join(REPOSITORY, built)),
      "run this by ./test: what ./quickstart installs must be there already",
    );
  machine = await startScratchMachine();
  // The tests run in a network namespace of their own.
  await succeed("echo 0 > /proc/sys/net/ipv4/ip_forward");
});
after(() => machine[Symbol.asyncDispose]());

async function succeed(command: string): Promise<string> {
  const { exitCode, text, errors } = await machine.run(command, { timeoutMs: 300_000 });
  assert.equal(exitCode, 0, `${command}: ${errors}${text}`);
  return text;
}

async function status(): Promise<{
  readonly pid: number;
  readonly api_url: string;
  readonly database: { pid: number };
}> {
  return JSON.parse(await succeed("magsd status --json"));
}

describe("./quickstart", () => {
  it("installs, starts, signs in and runs a first script", async () => {
    assert.equal(await succeed("./quickstart"), "Hello World\n");
    assert.equal(await succeed("stat -c %a ~/.mags/config.json"), "600\n");
    const { api_url, api_token } = JSON.parse(await succeed("cat ~/.mags/config.json"));
    assert.equal(api_url, (await status()).api_url);
    assert.match(api_token, /^\S{20,}$/);
    assert.equal(await succeed("mags run hostname"), "mags-vm\n");
    assert.doesNotMatch(await succeed("magsd doctor"), /^FAIL/m);
    assert.match(await succeed("nft list ruleset"), /table ip mags /, "the host's own nft reads the rules");
  });

  it("leaves what is there alone when it runs again", async () => {
    const { pid } = await status();
    const before = await succeed("cat ~/.mags/config.json; readlink -f /opt/mags/current");
    assert.equal(await succeed("./quickstart"), "Hello World\n");
    assert.equal((await status()).pid, pid);
    assert.equal(await succeed("cat ~/.mags/config.json; readlink -f /opt/mags/current"), before);
  });

  it("replaces a token of this server that is dead, and keeps one of another server", async () => {
    const saved = async () => JSON.parse(await succeed("cat ~/.mags/config.json"));
    const { api_url, api_token } = await saved();
    await succeed(`sed -i 's/"${api_token}"/"dead"/' ~/.mags/config.json && ./quickstart`);
    assert.notEqual((await saved()).api_token, "dead");
    const other = '{ "api_url": "http://198.51.100.1:7777", "api_token": "theirs" }';
    const { text, errors } = await machine.run(`echo '${other}' > ~/.mags/config.json && ./quickstart`);
    assert.equal(text, "Hello World\n", "the first script runs on the server that was installed");
    assert.match(
      errors,
      /config\.json is for http:\/\/198\.51\.100\.1:7777 and is kept; .*eval "\$\(magsd token --env\)"/,
    );
    assert.equal(await succeed("cat ~/.mags/config.json"), `${other}\n`);
    assert.equal(await succeed(`eval "$(magsd token --env)" && mags run 'echo there'`), "there\n");
    await succeed("rm ~/.mags/config.json && magsd token --save");
    assert.equal((await saved()).api_url, api_url);
  });

  it("takes settings without an address for those of this machine's server, as mags does", async () => {
    await succeed(`echo '{ "api_token": "dead", "more": 1 }' > ~/.mags/config.json`);
    assert.match(await succeed("magsd token --save"), /^wrote a token/);
    const saved = JSON.parse(await succeed("cat ~/.mags/config.json"));
    assert.equal(saved.more, 1);
    const { api_token } = saved;
    await succeed(`echo '{ "api_token": "${api_token}" }' > ~/.mags/config.json`);
    assert.match(await succeed("magsd token --save"), /valid token for this server and is kept/);
    assert.match(await succeed("magsd token --env"), new RegExp(`MAGS_API_TOKEN='${api_token}'`));
    assert.equal(await succeed("mags run 'echo there'"), "there\n");
  });
});

describe("./quickstart over an older release", () => {
  it("restarts the server, says that jobs go on, and keeps of the older release what runs or is the way back", async () => {
    const objects = "/opt/mags/objects";
    const there = async () => (await succeed(`ls -A ${objects}`)).trim().split("\n");
    await succeed(`mkdir ${objects}/unused-1 ${objects}/used-1 && cp /bin/sleep ${objects}/used-1/`);
    await succeed(`${objects}/used-1/sleep 300 > /dev/null 2>&1 & echo $! > /tmp/user.pid`);
    const id = (await succeed("mags run --detach 'while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 7'")).trim();
    await succeed(`until mags status ${id} | grep -q running; do sleep 0.1; done`);
    const before = await status();
    const old = await succeed("readlink /opt/mags/current");
    await succeed("echo '// newer' >> dist/magsd.mjs");
    const { text, errors } = await machine.run("./quickstart", { timeoutMs: 300_000 });
    assert.equal(text, "Hello World\n", errors);
    assert.match(errors, /restarting magsd\n.*stopped, VMs of 1 jobs go on/);
    assert.notEqual((await status()).pid, before.pid);
    assert.equal(await succeed(`mags exec ${id} 'echo on'`), "on\n");
    await machine.run(`mags exec ${id} 'touch /tmp/go'`); // its VM may end before it does
    await succeed(`until mags status ${id} | grep -q completed; do sleep 0.1; done`);
    await succeed(`test -d /opt/mags/${old.trim()}`);
    await waitFor(async () => !(await there()).includes("unused-1"), { what: "the end of an object nothing needs" });
    assert.ok((await there()).includes("used-1"), "a program runs from it");
    await succeed("kill $(cat /tmp/user.pid); magsd stop; magsd start");
    await waitFor(async () => !(await there()).includes("used-1"), { what: "its end after the program's" });
    const leaks = await machine.run("magsd doctor --leaks");
    assert.equal(leaks.exitCode, 0, leaks.text);
  });
});

describe("magsd", () => {
  it("stop ends the database of a server that was killed, and says that its VMs go on", async () => {
    const id = (await succeed("mags run --detach 'sleep 300'")).trim();
    const { pid, database } = await status();
    await succeed(`sleep 1; kill -9 ${pid}`);
    assert.match(await succeed("magsd stop"), /ended the database/);
    assert.equal(await succeed(`test -e /proc/${database.pid} || echo gone`), "gone\n");
    const refused = await machine.run("magsd stop --all");
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.errors, /VMs go on .* magsd start/);
    await succeed("magsd start");
    assert.match(await succeed(`mags status ${id}`), /running/);
  });

  it("says in a line why it cannot start, and leaves nothing running", async () => {
    const { port } = new URL((await status()).api_url);
    await succeed("magsd stop");
    const listener = `/opt/mags/current/node/bin/node -e 'require("node:net").createServer().listen(${port}, "127.0.0.1", () => console.log("up"))'`;
    await succeed(
      `${listener} > /tmp/listener 2>&1 & echo $! > /tmp/listener.pid; until grep -q up /tmp/listener; do sleep 0.1; done`,
    );
    const taken = await machine.run("magsd start");
    assert.equal(taken.exitCode, 1);
    assert.match(
      taken.errors,
      /^magsd: the server did not start: cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE.*\n$/,
    );
    assert.equal(await succeed("pgrep -x postgres || echo none"), "none\n");
    await succeed("kill $(cat /tmp/listener.pid)");
    await succeed("mkdir -p /etc/mags && echo '{' > /etc/mags/magsd.json");
    const broken = await machine.run("magsd start");
    assert.match(broken.errors, /^magsd: \/etc\/mags\/magsd\.json is not JSON: .*\n$/);
    assert.match((await machine.run("magsd doctor")).text, /^FAIL .*is not JSON/);
    await succeed(`echo '{"node": {"guest": {"ca_certificates": ["/no/such.pem"]}}}' > /etc/mags/magsd.json`);
    assert.match(
      (await machine.run("magsd start")).errors,
      /node\.guest\.ca_certificates: \/no\/such\.pem cannot be read/,
    );
    await succeed("rm /etc/mags/magsd.json && magsd start");
  });

  it("uninstall of another server leaves the installation alone", async () => {
    const network = { prefix: "other", uplink_range: "10.77.0.0/24" };
    const config = { data_dir: "/tmp/other", listen: { port: 7778 }, node: { uid_base: 1_950_000_000, network } };
    await succeed(`echo '${JSON.stringify(config)}' > /tmp/other.json; mkdir /tmp/other`);
    assert.match(await succeed("magsd uninstall --yes --config /tmp/other.json"), /\/opt\/mags is left alone/);
    await succeed("[ ! -e /tmp/other ] && [ -e /opt/mags/current ] && rm /tmp/other.json");
    assert.equal(await succeed("mags run 'echo still here'"), "still here\n");
  });

  it("uninstall asks first, then leaves nothing: no process, file, network, rule", async () => {
    assert.match((await machine.run("magsd uninstall")).errors, /--yes/);
    const { pid } = await status();
    await succeed(`kill -9 ${pid}`);
    await succeed("magsd uninstall --yes");
    assert.equal(await succeed("ip netns list && nft list tables"), "");
    assert.equal(await succeed("find /sys/fs/cgroup -maxdepth 2 -name mags"), "");
    assert.equal(await succeed("cat /proc/sys/net/ipv4/ip_forward"), "0\n");
    assert.match(await succeed("ip -oneline link"), /^1: lo: .*\n$/);
    const processes = (await succeed("ps -eo comm=")).trim().split("\n");
    assert.deepEqual(
      processes.filter((name) => !["sh", "cat", "ps"].includes(name)),
      [],
    );
    const written = await machine.written();
    const others = [`${REPOSITORY}/`, "/root/.npm"]; // npm's log
    // A store of one's own is no part of an installation; the usual one goes with it.
    if (process.env.MAGS_STORE) others.push(`${process.env.MAGS_STORE}/`);
    assert.deepEqual(
      written.filter((path) => !others.some((other) => path.startsWith(other))),
      [],
    );
  });
});
