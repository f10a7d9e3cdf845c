import assert from "node:assert/strict";
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, startScriptedApi, TOKEN } from "./scripted-api.ts";

describe("signing in", () => {
  let api: ScriptedApi;
  let other: ScriptedApi;
  let cli: CliBench;
  const anonymous = { MAGS_API_TOKEN: undefined, MAGS_API_URL: undefined };

  before(async () => {
    api = await startScriptedApi();
    other = await startScriptedApi();
    cli = await createCliBench(api);
  });
  after(async () => {
    await cli[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });
  afterEach(async () => {
    api.requests.length = 0;
    other.requests.length = 0;
    await rm(join(cli.home, ".mags"), { recursive: true, force: true });
  });

  const file = () => join(cli.home, ".mags", "config.json");
  const kept = async () => JSON.parse(await readFile(file(), "utf8"));
  async function keep(entries: unknown, mode = 0o600): Promise<void> {
    await mkdir(join(cli.home, ".mags"), { recursive: true });
    await writeFile(file(), typeof entries === "string" ? entries : JSON.stringify(entries));
    await chmod(file(), mode);
  }

  it("login checks the token and keeps it, for the owner only, with the address", async () => {
    const env = { MAGS_API_TOKEN: undefined };
    const result = await cli.run(["login", "--token", TOKEN], { env });
    assert.equal(result.stdout.toString(), `Signed in to ${api.url} as admin@localhost\n`);
    assert.equal(result.code, 0);
    assert.deepEqual(await kept(), { api_url: api.url, api_token: TOKEN });
    assert.equal((await stat(file())).mode & 0o777, 0o600);
    assert.equal((await stat(join(cli.home, ".mags"))).mode & 0o777, 0o700);
    assert.equal((await cli.run(["run", "echo in"], { env: anonymous })).stdout.toString(), "in\n");
  });

  it("login reads the token from standard input", async () => {
    const result = await cli.run(["login", "--json"], { env: { MAGS_API_TOKEN: undefined }, input: `${TOKEN}\n` });
    assert.equal(JSON.parse(result.stdout.toString()).api_url, api.url);
    assert.equal((await kept()).api_token, TOKEN);
    const nothing = await cli.run(["login"], { env: { MAGS_API_TOKEN: undefined }, input: "\n" });
    assert.match(nothing.stderr, /^error: no token was given\n/);
    assert.equal(nothing.code, 1);
  });

  it("login on a terminal tells where tokens are from and does not show the one that is typed", async () => {
    const running = cli.startOnTerminal("login", { env: { MAGS_API_TOKEN: undefined }, input: { open: true } });
    await until("the prompt", () => running.stdout().includes("Token (not shown): "));
    running.child.stdin?.end(`${TOKEN.slice(0, 5)}x\u007f${TOKEN.slice(5)}\r`);
    const { stdout } = await running.ended;
    assert.match(stdout.toString(), /magsd token prints one.*Signed in to/s);
    assert.ok(!stdout.includes("mags_"));
    assert.equal((await kept()).api_token, TOKEN);
  });

  it("login keeps nothing when the server refuses the token, and other entries when it does not", async () => {
    await keep({ theme: "dark" });
    const refused = await cli.run(["login", "--token", "wrong"], { env: { MAGS_API_TOKEN: undefined } });
    assert.match(refused.stderr, /^error: the access token is not valid\n/);
    assert.equal(refused.code, 1);
    assert.deepEqual(await kept(), { theme: "dark" });
    await cli.run(["login", "--token", TOKEN]);
    assert.deepEqual(await kept(), { theme: "dark", api_url: api.url, api_token: TOKEN });
  });

  it("logout removes the token and leaves the rest", async () => {
    await keep({ api_url: api.url, api_token: TOKEN });
    assert.match((await cli.run(["logout"], { env: anonymous })).stdout.toString(), /^Signed out/);
    assert.deepEqual(await kept(), { api_url: api.url });
    const again = await cli.run(["logout"]);
    assert.equal(again.stdout.toString(), "You were not signed in.\n");
    assert.match(again.stderr, /MAGS_API_TOKEN is set/);
    const json = await cli.run(["logout", "--json"], { env: anonymous });
    assert.equal(json.stdout.toString(), '{"signed_out":false}\n');
  });

  it("whoami shows the account, the server and where the token is from", async () => {
    const fromEnvironment = (await cli.run(["whoami"])).stdout.toString();
    assert.match(fromEnvironment, /Account: +admin@localhost \(admin\)\n/);
    assert.match(fromEnvironment, /Token from: +MAGS_API_TOKEN\n/);
    await keep({ api_url: api.url, api_token: TOKEN });
    const fromFile = await cli.run(["whoami", "--json"], { env: anonymous });
    assert.equal(JSON.parse(fromFile.stdout.toString()).token_from, file());
    const nobody = await cli.run(["whoami"], { env: { MAGS_API_TOKEN: undefined, HOME: join(cli.folder, "nobody") } });
    assert.match(nobody.stderr, /you are not signed in to/);
    assert.equal(nobody.code, 1);
  });

  it("sends a token of the file to that file's server only", async () => {
    await keep({ api_url: api.url, api_token: TOKEN });
    const env = { MAGS_API_TOKEN: undefined, MAGS_API_URL: other.url };
    const result = await cli.run(["list"], { env });
    assert.match(
      result.stderr,
      /not signed in to http:\/\/127.0.0.1:\d+: the token in \S+ is for http\S+ and goes nowhere else/,
    );
    assert.equal(result.code, 1);
    assert.deepEqual(other.requests, []);
    const sameServer = { MAGS_API_TOKEN: undefined, MAGS_API_URL: `${api.url}/api/v1/` };
    assert.equal((await cli.run(["list"], { env: sameServer })).code, 0);
  });

  it("takes the first of MAGS_API_TOKEN, MAGS_TOKEN and the file", async () => {
    await keep({ api_url: api.url, api_token: "from-file" });
    const bearer = () => api.requests.at(-1)?.headers.authorization;
    await cli.run(["list"], { env: { ...anonymous, MAGS_API_TOKEN: "first", MAGS_TOKEN: "second" } });
    assert.equal(bearer(), "Bearer first");
    await cli.run(["list"], { env: { ...anonymous, MAGS_TOKEN: "second" } });
    assert.equal(bearer(), "Bearer second");
    await cli.run(["list"], { env: anonymous });
    assert.equal(bearer(), "Bearer from-file");
  });

  it("warns when others can read the token", async () => {
    await keep({ api_url: api.url, api_token: TOKEN }, 0o640);
    const result = await cli.run(["list"], { env: anonymous });
    assert.match(result.stderr, /^warning: other users can read your token: chmod 600 \S+config.json\n/);
    assert.equal(result.code, 0);
  });

  it("names a config file that cannot be understood", async () => {
    for (const [content, message] of [
      ["{", /config.json is not valid JSON/],
      ["[]", /config.json must hold a JSON object/],
      [{ api_token: 5 }, /config.json: api_token must be a string/],
      [{ api_url: "ftp://x", api_token: "x" }, /api_url in \S+ must be an http\(s\) address/],
    ] as const) {
      await keep(content);
      const result = await cli.run(["list"], { env: anonymous });
      assert.match(result.stderr, message);
      assert.equal(result.code, 1);
    }
  });
});
