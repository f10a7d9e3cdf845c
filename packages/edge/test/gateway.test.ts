import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { KEY_TYPES } from "../src/ssh/algorithms.ts";
import { type Place, startTestGateway, type TestGateway } from "./harness.ts";

/** Some that are free now. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

const ports = (place: Place) => () => {
  let test: TestGateway;
  before(async () => {
    test = await startTestGateway({}, place);
  });
  after(() => test[Symbol.asyncDispose]());
  const at = (port: number, command: string) => test.ssh(["box@h", command], { port });

  it("are listened on as long as they are wanted, and say which they are", async () => {
    const [one = 0, two = 0] = await freePorts(2);
    assert.deepEqual(await test.listenOn([one, two]), []);
    assert.equal((await at(two, "echo here")).stdout, "here\n");
    assert.equal(test.ports.at(-1), two);
    assert.deepEqual(await test.listenOn([one]), []);
    assert.match((await at(two, "true")).stderr, /refused/);
    assert.equal((await at(one, "echo there")).stdout, "there\n");
  });

  it("that are taken are told, and others are listened on", async () => {
    await using taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const [free = 0] = await freePorts(1);
    assert.deepEqual(await test.listenOn([port, free]), [port]);
    assert.equal((await at(free, "echo on")).stdout, "on\n");
  });

  it("leave their connections when they go", async () => {
    const [port = 0] = await freePorts(1);
    await test.listenOn([port]);
    const child = spawn("ssh", [...test.options(undefined, port), "box@h", "echo on; read line; echo $line"]);
    await once(child.stdout, "data");
    await test.listenOn([]);
    child.stdin.end("still here\n");
    const [text] = await once(child.stdout, "data");
    assert.equal(String(text), "still here\n");
  });
};

describe("ports of jobs", ports("within"));
describe("ports of jobs, by an edge apart", ports("apart"));

describe("keys of users", () => {
  let test: TestGateway;
  before(async () => {
    test = await startTestGateway();
  });
  after(() => test[Symbol.asyncDispose]());

  for (const [type, bits] of [
    ["ecdsa", "256"],
    ["ecdsa", "384"],
    ["ecdsa", "521"],
    ["rsa", "2048"],
  ] as const)
    it(`may be ${type} of ${bits} bits, with SHA-2`, async () => {
      await using temp = await makeTempDir();
      const keyFile = join(temp.path, "key");
      await test.run("ssh-keygen", ["-q", "-t", type, "-b", bits, "-N", "", "-f", keyFile]);
      const as = (...options: readonly string[]) => test.ssh([...options, "box@h", "echo in"], { keyFile });
      assert.match((await as()).stderr, /Permission denied \(publickey\)/);
      const [, blob = ""] = (await readFile(`${keyFile}.pub`, "utf8")).split(" ");
      test.keys.add(blob);
      assert.equal((await as()).stdout, "in\n");
      if (type !== "rsa") return;
      for (const hash of ["256", "512"])
        assert.equal((await as("-o", `PubkeyAcceptedAlgorithms=rsa-sha2-${hash}`)).stdout, "in\n");
      assert.match((await as("-o", "PubkeyAcceptedAlgorithms=ssh-rsa")).stderr, /Permission denied \(publickey\)/);
    });

  it("are told to clients that ask, by what they may be signed with", async () => {
    const { stderr } = await test.ssh(["-v", "box@h", "true"]);
    const [, told = ""] = /server-sig-algs=<(.*?)>/.exec(stderr) ?? [];
    assert.deepEqual(told.split(","), [...KEY_TYPES]);
  });
});

describe("the end of a gateway", () => {
  it("is told to its clients, hangs up what they run, and does not wait for who is silent", async () => {
    const test = await startTestGateway();
    const silent = connect(test.gateway.port, "127.0.0.1");
    await once(silent, "connect");
    await using temp = await makeTempDir();
    const file = join(temp.path, "said");
    const script = `trap 'echo hup > ${file}; exit' HUP; echo on > ${file}; while :; do sleep 0.05; done`;
    const running = test.ssh(["box@h", script]);
    const said = (text: string) =>
      waitFor(async () => (await readFile(file, "utf8").catch(() => "")) === text, { what: `that it said ${text}` });
    await said("on\n");
    await test.gateway[Symbol.asyncDispose]();
    const { exitCode, stderr } = await running;
    assert.equal(exitCode, 255);
    assert.match(stderr, /mags: the server is ending/);
    await assert.rejects(once(connect(test.gateway.port, "127.0.0.1"), "connect"), /ECONNREFUSED/);
    await said("hup\n");
    await test[Symbol.asyncDispose]();
  });

  it("is told to clients without a session, and the server hears of their ends", { timeout: 60_000 }, async () => {
    await using test = await startTestGateway({}, "apart");
    const clients = [1, 2, 3].map(() => test.ssh(["-N", "box@h"]));
    const count = (what: string) => test.notes.filter((note) => note.what === what).length;
    await waitFor(() => count("signed_in") === clients.length, { what: "the sign-ins" });
    await test.gateway[Symbol.asyncDispose]();
    // As the process of a gateway does, which goes then.
    await test[Symbol.asyncDispose]();
    for (const { exitCode, stderr } of await Promise.all(clients)) {
      assert.equal(exitCode, 255);
      assert.match(stderr, /the server is ending/);
    }
    const ends = test.notes.filter(({ what }) => what === "ended");
    assert.deepEqual(
      ends.map(({ data }) => [typeof data.bytes_in, data.reason]),
      clients.map(() => ["number", undefined]),
    );
  });
});
