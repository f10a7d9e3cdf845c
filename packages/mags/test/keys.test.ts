import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { Mags, MagsError } from "../src/sdk/index.ts";
import { type CliBench, createCliBench } from "./cli-process.ts";
import { type ScriptedApi, type SeenRequest, send, startScriptedApi, TOKEN } from "./scripted-api.ts";

const KEYS = "/api/v1/ssh-keys";
const KEY = {
  ...{ id: "0b6f9c54-41c1-4a6e-8a55-6f7c9d1e2a3b", name: "me@here", type: "ssh-ed25519", fingerprint: "SHA256:abc" },
  ...{ public_key: "ssh-ed25519 AAAA", created_at: "2026-01-02T03:04:05.000Z", last_used_at: null },
};

let api: ScriptedApi;
let cli: CliBench;
/** Requests about keys. */
let seen: SeenRequest[] = [];

before(async () => {
  api = await startScriptedApi();
  cli = await createCliBench(api);
  mkdirSync(join(cli.home, ".ssh"), { recursive: true });
});
after(async () => {
  await cli[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});
afterEach(() => {
  api.intercept = () => false;
  seen = [];
  for (const name of readdirSync(ssh(""))) rmSync(ssh(name));
});

/** What a server asks to be signed by those who call it so. */
const challengeOf = (server: string) => `mags-key server=${server} account=a key=SHA256:x nonce=n`;
const ownChallenge = () => challengeOf(new URL(api.url).host);
const ssh = (name: string) => join(cli.home, ".ssh", name);

function keygen(name: string, options: { readonly passphrase?: string } = {}): void {
  const args = ["-q", "-t", "ed25519", "-N", options.passphrase ?? "", "-C", "me@here", "-f", ssh(name)];
  execFileSync("ssh-keygen", args);
}

/** Takes keys as a server does. */
function serveKeys(challenge = ownChallenge()): void {
  api.intercept = (request: SeenRequest, to: ServerResponse) => {
    if (!request.path.startsWith(KEYS)) return false;
    seen.push(request);
    if (request.path === `${KEYS}/challenge`) send(to, 200, { challenge, expires_at: "", fingerprint: "" });
    else if (request.method === "GET") send(to, 200, { keys: [KEY] });
    else if (request.method === "DELETE") send(to, 200, { success: true, message: "SSH key me@here removed" });
    else send(to, 201, KEY);
    return true;
  };
}

describe("mags key", () => {
  it("add signs the server's text with the key by ssh-keygen, and leaves nothing behind", async () => {
    keygen("id_ed25519");
    serveKeys();
    const temporary = join(cli.folder, "tmp");
    mkdirSync(temporary);
    const { stdout, stderr, code } = await cli.run(["key", "add", "--name", "laptop"], { env: { TMPDIR: temporary } });
    assert.deepEqual([code, stderr, stdout.toString()], [0, "", "SSH key me@here added: SHA256:abc\n"]);
    assert.deepEqual(readdirSync(temporary), []);
    const line = readFileSync(ssh("id_ed25519.pub"), "utf8").trim();
    const body = seen.at(-1)?.body as Readonly<Record<string, string>>;
    assert.deepEqual([body.name, body.public_key, body.challenge], ["laptop", line, ownChallenge()]);
    assert.deepEqual(seen[0]?.body, { public_key: line, server: new URL(api.url).host });
    writeFileSync(ssh("signature"), body.signature ?? "");
    const check = ["-Y", "check-novalidate", "-n", "mags-key", "-s", ssh("signature")];
    execFileSync("ssh-keygen", check, { input: ownChallenge() });
  });

  it("add asks the agent where only that has the private key", async () => {
    keygen("id_rsa");
    serveKeys();
    const add = `'${process.execPath}' '${cli.program}' key add`;
    const line = `ssh-agent sh -c "ssh-add -q '${ssh("id_rsa")}' && rm '${ssh("id_rsa")}' && ${add}"`;
    const { code, stderr, stdout } = await cli.shell(line);
    assert.deepEqual([code, stderr, stdout.toString()], [0, "", "SSH key me@here added: SHA256:abc\n"]);
    assert.equal(existsSync(ssh("id_rsa")), false);
  });

  it("add sends nothing where there is no key, a private one, or none that can be signed with", async () => {
    serveKeys();
    const run = async (...args: readonly string[]) => {
      const { code, stderr } = await cli.run(["key", "add", ...args]);
      assert.equal(code, 1);
      return stderr;
    };
    assert.match(await run(), /^error: there is no key in .*\.ssh: id_ed25519\.pub.*\n.*ssh-keygen -t ed25519/);
    assert.match(await run(ssh("nothing.pub")), /^error: cannot read .*nothing\.pub: there is no such file/);
    keygen("secret", { passphrase: "long enough" });
    assert.match(await run(ssh("secret")), /^error: .* is a private key.*\n.*secret\.pub/);
    const line = readFileSync(ssh("secret.pub"), "utf8");
    for (const text of [
      "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\nAAAA\n",
      "AGE-SECRET-KEY-1QQQQ\n",
      "",
      `${line}${line}`,
      `${line}[Interface]\nPrivateKey = AAAA\n`,
    ]) {
      writeFileSync(ssh("other"), text);
      assert.match(await run(ssh("other")), /^error: .*other is not sent: .*\n.*ssh-keygen -t ed25519\n/, text);
    }
    assert.equal(seen.length, 0);
    assert.match(await run(ssh("secret.pub")), /^error: ssh-keygen did not sign with .*\n.*ssh-agent/);
    rmSync(ssh("secret"));
    assert.match(await run(ssh("secret.pub")), /^error: ssh-keygen did not sign with .*\n.*ssh-agent/);
    const only = { PATH: cli.folder };
    const { stderr } = await cli.run(["key", "add", ssh("secret.pub")], { env: only });
    assert.match(stderr, /^error: ssh-keygen is needed .*\n.*openssh-client/);
    const nowhere = await cli.run(["key", "add", ssh("secret.pub")], { env: { TMPDIR: "/nowhere" } });
    assert.match(
      nowhere.stderr,
      /^error: cannot make a temporary folder in \/nowhere: there is no such folder\n.*TMPDIR/,
    );
    assert.ok(seen.every(({ path }) => path === `${KEYS}/challenge`));
  });

  it("add signs nothing that names another server than the one that it talks to", async () => {
    keygen("id_ed25519");
    serveKeys(challengeOf("mags.example.org"));
    const { code, stderr } = await cli.run(["key", "add"]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^error: http:\/\/127\.0\.0\.1:\d+ asks for a signature that is not for 127\..* nothing was signed/,
    );
    assert.deepEqual(
      seen.map(({ path }) => path),
      [`${KEYS}/challenge`],
    );
  });

  it("add says how to name a key where its name is taken", async () => {
    keygen("id_ed25519");
    api.intercept = (request, to) => {
      if (request.path === KEYS) send(to, 409, { error: "there is another key", code: "ssh_key_name_taken" });
      else if (request.path.startsWith(KEYS)) send(to, 200, { challenge: ownChallenge() });
      return request.path.startsWith(KEYS);
    };
    const { code, stderr } = await cli.run(["key", "add"]);
    assert.deepEqual([code, stderr], [1, "error: there is another key\nName it with: mags key add --name NAME\n"]);
  });

  it("list shows the keys, rm removes one by what it shows", async () => {
    serveKeys();
    const { stdout } = await cli.run(["key", "list"]);
    const [title, row] = stdout.toString().split("\n");
    assert.match(title ?? "", /^NAME +TYPE +FINGERPRINT +ADDED +USED$/);
    assert.match(row ?? "", /^me@here +ssh-ed25519 +SHA256:abc +\d+d ago +never$/);
    const json = await cli.run(["key", "ls", "--json"]);
    assert.deepEqual(JSON.parse(json.stdout.toString()), { keys: [KEY] });
    const removed = await cli.run(["key", "rm", "SHA256:a/b+c"]);
    assert.equal(removed.stdout.toString(), "SSH key me@here removed\n");
    assert.equal(seen.at(-1)?.path, `${KEYS}/SHA256%3Aa%2Fb%2Bc`);
  });
});

describe("the SDK's keys", () => {
  it("takes the signature from whoever has the key, and refuses what no path can name", async () => {
    serveKeys();
    const mags = new Mags({ apiToken: TOKEN, apiUrl: api.url });
    const added = await mags.sshKeys.add("ssh-ed25519 AAAA", { sign: (challenge) => `signed ${challenge}` });
    assert.deepEqual(added, KEY);
    const challenge = ownChallenge();
    const body = { public_key: "ssh-ed25519 AAAA", challenge, signature: `signed ${challenge}` };
    assert.deepEqual(seen.at(-1)?.body, body);
    await assert.rejects(mags.sshKeys.remove(".."), (error) => {
      return error instanceof MagsError && error.code === "ssh_key_not_found";
    });
    assert.equal(seen.length, 2);
  });

  it("has nothing signed that does not begin with the name of the server", async () => {
    const mags = new Mags({ apiToken: TOKEN, apiUrl: api.url });
    const { host } = new URL(api.url);
    let signed = 0;
    for (const challenge of [
      challengeOf(`${host}0`),
      challengeOf(`${host}.evil.example`),
      `mags-key ${host} SHA256:x nonce`,
      ` ${ownChallenge()}`,
      `mags-key account=a ${ownChallenge()}`,
      "",
    ]) {
      serveKeys(challenge);
      const adding = mags.sshKeys.add("ssh-ed25519 AAAA", { sign: () => `${++signed}` });
      await assert.rejects(adding, (error) => error instanceof MagsError && error.code === "unexpected_reply");
    }
    assert.equal(signed, 0);
    assert.ok(seen.every(({ path }) => path === `${KEYS}/challenge`));
  });
});

describe("mags audit", () => {
  const entry = {
    ...{ id: 7, at: "2026-01-02T03:04:05.000Z", action: "ssh_refused", account_id: null, account_email: null },
    ...{ target: "box\u001b[2J", client_address: "192.0.2.1", data: { attempts: 12, login: "\u0007root" } },
  };

  it("shows entries in a line each, with nothing that a terminal would act on", async () => {
    let query = "";
    api.intercept = (request, to) => {
      if (request.path !== "/api/v1/audit-log") return false;
      query = request.query.toString();
      send(to, 200, { entries: query.includes("key_added") ? [] : [entry] });
      return true;
    };
    const { stdout } = await cli.run(["audit", "-n", "5", "--all"]);
    assert.equal(query, "limit=5&all=1");
    const line = "2026-01-02T03:04:05.000Z  ssh_refused  -  box?[2J  192.0.2.1  attempts=12 login=?root\n";
    assert.equal(stdout.toString(), line);
    const json = await cli.run(["audit", "--json"]);
    assert.deepEqual(JSON.parse(json.stdout.toString()), { entries: [entry] });
    const none = await cli.run(["audit", "--action", "key_added"]);
    assert.deepEqual([none.code, none.stdout.toString()], [0, ""]);
    assert.equal(query, "limit=50&action=key_added");
  });
});
