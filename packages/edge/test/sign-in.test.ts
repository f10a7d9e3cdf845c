import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import ssh2 from "ssh2";
import { startTestGateway, type TestGateway } from "./harness.ts";

/** What a client of ssh2 has beside its interface: it signs what it likes, when it likes. */
interface Inside {
  readonly _protocol: {
    readonly _handlers: Record<string, () => void>;
    authNone(login: string): void;
    authPK(
      login: string,
      key: Buffer,
      type: string,
      sign?: (data: Buffer, done: (bytes: Buffer) => void) => void,
    ): void;
  };
}

describe("signing in", () => {
  let test: TestGateway;
  before(async () => {
    test = await startTestGateway();
  });
  after(() => test[Symbol.asyncDispose]());

  async function newKey(name: string, args: readonly string[]): Promise<string> {
    const file = join(test.runFolder, name);
    await test.run("ssh-keygen", ["-q", "-N", "", "-f", file, ...args]);
    const [, blob = ""] = (await readFile(`${file}.pub`, "utf8")).split(" ");
    test.keys.add(blob);
    return file;
  }
  const noteOf = (from: number) =>
    waitFor(() => test.notes.slice(from).find(({ what }) => what === "refused"), { what: "the note" });

  it("takes keys of ECDSA and RSA, and no signature with SHA-1", async () => {
    const [ecdsa, rsa] = [await newKey("ecdsa", ["-t", "ecdsa"]), await newKey("rsa", ["-t", "rsa", "-b", "2048"])];
    for (const keyFile of [ecdsa, rsa])
      assert.equal((await test.ssh(["box@h", "echo in"], { keyFile })).stdout, "in\n");
    const old = await test.ssh(["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "box@h", "true"], { keyFile: rsa });
    assert.match(old.stderr, /Permission denied|no mutual signature/);
  });

  it("is refused where the account has as many connections as it may, with the reason", async () => {
    await using small = await startTestGateway({ accountConnections: 1, accountChannels: 2 });
    const first = await small.signIn();
    const { exitCode, stderr } = await small.ssh(["box@h", "true"]);
    assert.equal(exitCode, 255);
    assert.match(stderr, /^Received disconnect .*: the account has as many SSH connections as it may/m);
    const note = small.notes.findLast(({ what }) => what === "refused");
    assert.deepEqual([note?.user?.keyName, note?.data.reason], ["own", "too_many_connections"]);
    const open = () => new Promise<Error | undefined>((resolve) => first.exec("exec cat", (error) => resolve(error)));
    assert.deepEqual([await open(), await open()], [undefined, undefined]);
    assert.match(String(await open()), /as many sessions and forwards as it may/);
    first.end();
    await waitFor(async () => (await small.ssh(["box@h", "true"])).exitCode === 0, { what: "a place" });
  });

  it("leaves other accounts room where one listens in guests as often as it may, over many connections", async () => {
    await using small = await startTestGateway({ accountChannels: 3 });
    const listen = (client: ssh2.Client) =>
      new Promise<Error | undefined>((resolve) => client.forwardIn("127.0.0.1", 0, (error) => resolve(error)));
    const one = await small.signIn();
    const more = await small.signIn();
    assert.deepEqual([await listen(one), await listen(one), await listen(more)], [undefined, undefined, undefined]);
    assert.match(String(await listen(more)), /Unable to bind/);
    assert.equal((await small.ssh(["box@h", "true"])).exitCode, 255);
    const other = await small.signIn({ username: "other" });
    assert.equal(await listen(other), undefined);
    assert.equal((await small.ssh(["other@h", "true"])).exitCode, 0);
    one.end();
    await waitFor(async () => (await listen(more)) === undefined, { what: "a place" });
  });

  it("says that the server cannot be reached, and to strangers not where it is", async () => {
    const { exitCode, stderr } = await test.ssh(["away@h", "true"]);
    assert.equal(exitCode, 255);
    assert.match(stderr, /^Received disconnect .*: the server of Mags cannot be reached now: try again/m);
    assert.doesNotMatch(stderr, /192\.0\.2\.9/);
  });

  it("is by key only", async () => {
    const { stderr } = await test.ssh(["-o", "PubkeyAuthentication=no", "box@h", "true"]);
    assert.match(stderr, /Permission denied \(publickey\)/);
  });

  it("leaves one note of all that was refused on a connection", async () => {
    const from = test.notes.length;
    await test.ssh(["-i", test.strangersKeyFile, "nobody@h", "true"]);
    const { login, data } = await noteOf(from);
    assert.deepEqual([login, data.attempts], ["nobody", 2]);
    assert.match(String(data.fingerprint), /^SHA256:/);
    assert.equal(test.notes.slice(from).length, 1);
  });

  /** A client that asks by itself. */
  async function open() {
    const client = new ssh2.Client() as ssh2.Client & Inside;
    client.on("error", () => {});
    const asked = Promise.withResolvers<void>();
    client.connect({
      ...{ host: "127.0.0.1", port: test.gateway.port, username: "box" },
      authHandler: () => asked.resolve() as never, // which says nothing
    });
    await asked.promise;
    const answer = new Promise<string>((resolve) => {
      for (const name of ["USERAUTH_FAILURE", "USERAUTH_SUCCESS", "USERAUTH_PK_OK"])
        client._protocol._handlers[name] = () => resolve(name);
    });
    return { client, answer };
  }
  async function publicKey(keyFile: string) {
    const [type = "", blob = ""] = (await readFile(`${keyFile}.pub`, "utf8")).split(" ");
    return { type, line: Buffer.from(`${type} ${blob}`) };
  }

  it("is refused with a key of somebody else's that was not signed with", async () => {
    const from = test.notes.length;
    const { client, answer } = await open();
    const { type, line } = await publicKey(test.keyFile);
    client._protocol.authPK("box", line, type, (_, done) => done(Buffer.alloc(64, 7)));
    assert.equal(await answer, "USERAUTH_FAILURE");
    client.end();
    assert.equal((await noteOf(from)).data.attempts, 1);
  });

  it("is an attempt when it is asked for with a key that is good, and nothing is signed", async () => {
    const from = test.notes.length;
    const { client, answer } = await open();
    const { type, line } = await publicKey(test.keyFile);
    client._protocol.authPK("box", line, type);
    assert.equal(await answer, "USERAUTH_PK_OK");
    client.end();
    assert.equal((await noteOf(from)).data.attempts, 1);
  });

  it("is refused with a key that is of another type than was said, which would sign with SHA-1", async () => {
    const keyFile = await newKey("other", ["-t", "rsa", "-b", "2048"]);
    const [key] = [ssh2.utils.parseKey(await readFile(keyFile))].flat();
    assert.ok(key && !(key instanceof Error));
    const { client, answer } = await open();
    const { line } = await publicKey(keyFile);
    client._protocol.authPK("box", line, "ssh-ed25519", (data, done) => done(key.sign(data, "sha1")));
    assert.equal(await answer, "USERAUTH_FAILURE");
    client.end();
  });

  it("happens once", async () => {
    const client = (await test.signIn()) as ssh2.Client & Inside;
    client._protocol.authNone("root");
    await assert.rejects(once(client, "close"), /PROTOCOL_ERROR/);
  });
});
