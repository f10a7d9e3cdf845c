/** SSH and URLs by an edge that is a process of its own, has no rights, and reaches the server by one connection. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { type RunningCommand, run, start } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";

const MAGSD = resolve(import.meta.dirname, "../dist/magsd.mjs");
const NETWORK = "edge-test";
const [SERVER, EDGE] = ["198.18.7.1", "198.18.7.2"];

interface Access {
  readonly ssh_port: number;
  readonly ssh_private_key: string;
  readonly ssh_host_fingerprint: string;
}

describe("an edge apart", () => {
  let temp: TempDir;
  let server: TestServer;
  let edge: RunningCommand;
  let access: Access;
  let configFile: string;

  async function ok(program: string, ...args: readonly string[]): Promise<string> {
    const { exitCode, text, errors } = await run(program, args);
    assert.equal(exitCode, 0, `${program} ${args.join(" ")}: ${errors}`);
    return text;
  }
  const magsd = (...args: readonly string[]) => run(process.execPath, [MAGSD, ...args]);
  const edgeStatus = async () => JSON.parse((await magsd("status", "--json", "--config", configFile)).text);
  const options = () => [
    ...["-F", "none", "-i", join(temp.path, "key"), "-p", String(access.ssh_port), "-o", "IdentitiesOnly=yes"],
    ...["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
    ...["-o", "LogLevel=ERROR", `root@${EDGE}`],
  ];

  /** In a network of its own, as a process that may become another user, end it, and nothing else which others may not. */
  function startEdge(): RunningCommand {
    const alone = ["setpriv", "--inh-caps=-all", "--bounding-set=-all,+setuid,+setgid,+kill", "--no-new-privs"];
    const program = [process.execPath, MAGSD, "serve", "--config", configFile];
    return start("ip", ["netns", "exec", NETWORK, ...alone, ...program], { timeoutMs: 600_000 });
  }

  before(async () => {
    temp = await makeTempDir();
    await ok("ip", "netns", "add", NETWORK);
    await ok("ip", "link", "add", "edge0", "type", "veth", "peer", "name", "edge1", "netns", NETWORK);
    await ok("ip", "addr", "add", `${SERVER}/30`, "dev", "edge0");
    await ok("ip", "link", "set", "edge0", "up");
    await ok("ip", "-n", NETWORK, "addr", "add", `${EDGE}/30`, "dev", "edge1");
    await ok("ip", "-n", NETWORK, "link", "set", "edge1", "up");
    const secret_file = join(temp.path, "secret");
    await ok(process.execPath, MAGSD, "edge-secret", secret_file);
    const port = 20_000 + (randomBytes(2).readUInt16BE() % 10_000);
    configFile = join(temp.path, "edge.json");
    const upstream = { host: SERVER, port, secret_file };
    const at = { listen: { host: EDGE, port: 0 } };
    const keys = { role: "edge", data_dir: join(temp.path, "e"), ssh: at, urls: at, upstream };
    await writeFile(configFile, JSON.stringify(keys));
    edge = startEdge(); // its server comes later
    server = await startServer({
      config: { edges: { listen: { host: SERVER, port }, secret_file } },
      node: { default_memory_mb: 512, pool: { min_idle: 1, max_idle: 1 } },
    });
    assert.equal((await server.mags(["new", "box"])).exitCode, 0);
    const reply = await server.api.call("POST", "/api/v1/mags-jobs/box/access", { port: 22 });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    access = reply.body as Access;
    await writeFile(join(temp.path, "key"), access.ssh_private_key, { mode: 0o600 });
  });
  after(async () => {
    edge?.child.kill("SIGTERM");
    const ended = await edge?.result;
    await server?.[Symbol.asyncDispose]();
    await run("ip", ["link", "del", "edge0"]);
    await run("ip", ["netns", "del", NETWORK]);
    await temp?.[Symbol.asyncDispose]();
    assert.equal(ended?.exitCode, 0, ended?.text);
  });

  it("serves the ports of jobs with the host key of the server", async () => {
    await waitFor(async () => (await edgeStatus()).ready, { what: "a ready edge" });
    assert.match((await magsd("status", "--config", configFile)).text, new RegExp(`^Edge of: +${SERVER}:`, "m"));
    assert.match((await server.magsd("status")).text, /^Edges: +port \d+, 1 connected/m);
    const { pid } = JSON.parse(await readFile(join(temp.path, "e/gateway.json"), "utf8"));
    assert.match(await readFile(`/proc/${pid}/status`, "utf8"), /^Uid:(\s+1910000001){4}$/m);
    const keys = await ok("ssh-keyscan", "-t", "ed25519", "-p", String(access.ssh_port), EDGE);
    const { text } = await run("ssh-keygen", ["-lf", "-"], { input: keys });
    assert.ok(text.includes(access.ssh_host_fingerprint), text);
  });

  it("carries commands, their input and output", async () => {
    const input = randomBytes(8_000_000);
    const ran = await run("ssh", [...options(), "cat; echo err >&2; exit 7"], { input });
    assert.deepEqual([ran.exitCode, ran.errors], [7, "err\n"]);
    assert.ok(ran.stdout.equals(input));
  });

  it("serves URLs, and tells the server what was asked for", async () => {
    const web =
      "mkdir /w && echo from the VM > /w/index.html && setsid -f python3 -m http.server -d /w 8080 > /dev/null 2>&1";
    assert.equal((await server.mags(["exec", "box", web])).exitCode, 0);
    const reply = await server.api.call("POST", "/api/v1/mags-jobs/box/access", { port: 8080 });
    assert.equal(reply.status, 200, JSON.stringify(reply.body));
    const { host } = new URL((reply.body as { url: string }).url);
    const { port } = (await edgeStatus()).urls;
    const page = await ok("curl", "-sS", "--fail", "-H", `Host: ${host}`, `http://${EDGE}:${port}/`);
    assert.equal(page, "from the VM\n");
    await waitFor(
      async () => {
        const { body } = await server.api.call("GET", "/api/v1/mags-jobs/box/url-traffic");
        return JSON.stringify(body).includes(`"client_address":"${SERVER}"`);
      },
      { what: "the entry of the access log" },
    );
  });

  it("has its commands hung up when it is killed, and may come again", async () => {
    const session = start("ssh", [...options(), "echo up; sleep 4321; echo no"]);
    await waitFor(() => session.soFar() === "up\n", { what: "the command" });
    const running = async () => (await server.mags(["exec", "box", "pgrep -fx 'sleep 4321'"])).exitCode === 0;
    assert.equal(await running(), true);
    process.kill((await edgeStatus()).pid, "SIGKILL");
    assert.equal((await session.result).exitCode, 255);
    await waitFor(async () => !(await running()), { what: "the end of the command", deadlineMs: 20_000 });
    await edge.result;
    edge = startEdge();
    await waitFor(async () => (await edgeStatus()).ready, { what: "a ready edge", deadlineMs: 20_000 });
    const again = async () => (await run("ssh", [...options(), "echo again"])).text === "again\n";
    await waitFor(again, { what: "the port of the job", deadlineMs: 20_000 });
  });
});
