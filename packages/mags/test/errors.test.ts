import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { type CliBench, createCliBench } from "./cli-process.ts";
import { type ScriptedApi, send, startScriptedApi } from "./scripted-api.ts";

describe("what the command line says when something is wrong", () => {
  let api: ScriptedApi;
  let cli: CliBench;

  before(async () => {
    api = await startScriptedApi();
    cli = await createCliBench(api);
  });
  after(async () => {
    await cli[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
  });
  afterEach(() => {
    api.intercept = () => false;
    api.requests.length = 0;
  });

  async function fails(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) {
    const result = await cli.run(args, { env });
    assert.equal(result.code, 1, `exit code of mags ${args.join(" ")}`);
    assert.equal(result.stdout.toString(), "");
    return result.stderr;
  }

  it("tells how to sign in when there is no token, or a wrong one", async () => {
    const none = await fails(["run", "echo"], { MAGS_API_TOKEN: undefined });
    assert.match(none, /^error: you are not signed in to \S+\nSign in with: mags login\n.*MAGS_API_TOKEN\.\n$/);
    assert.match(
      await fails(["run", "echo"], { MAGS_API_TOKEN: "wrong" }),
      /^error: the access token is not valid\n.*mags login\n$/,
    );
    assert.match(await fails(["list"], { MAGS_API_TOKEN: "two words" }), /MAGS_API_TOKEN is not a token/);
  });

  it("names the address of a server that is away, and how to start one", async () => {
    await api.goAway();
    try {
      const message = await fails(["run", "echo"]);
      assert.ok(message.startsWith(`error: cannot reach the Mags server at ${api.url}: connection refused\n`));
      assert.match(message, /magsd start/);
    } finally {
      await api.comeBack();
    }
    assert.match(
      await fails(["list"], { MAGS_API_URL: "127.0.0.1:7777" }),
      /MAGS_API_URL must be an http\(s\) address/,
    );
  });

  it("shows what the server says, in one line", async () => {
    api.intercept = (_, reply) => {
      send(reply, 400, { error: "environment: names must be\nletters", code: "validation_failed" });
      return true;
    };
    assert.equal(await fails(["run", "--env", "a-b=c", "echo"]), "error: environment: names must be letters\n");
  });

  it("tells what to do when too many jobs wait", async () => {
    api.intercept = (_, reply) => {
      reply.writeHead(429, { "content-type": "application/json", "retry-after": "3600" });
      reply.end(JSON.stringify({ error: "not accepted: 9 jobs of this account wait", code: "too_many_requests" }));
      return true;
    };
    assert.equal(
      await fails(["run", "echo"]),
      "error: not accepted: 9 jobs of this account wait\nSee your jobs with: mags list\n",
    );
  });

  it("understands answers that are not those of a Mags server", async () => {
    for (const [status, body, message] of [
      [502, "<html>bad gateway</html>", /answered with HTTP status 502: <html>bad gateway<\/html>/],
      [200, "<html>hello</html>", /is not that of a Mags server/],
      [302, "", /redirects to https:\/\/elsewhere.example: give that address instead/],
    ] as const) {
      api.intercept = (_, reply) => {
        reply.writeHead(status, status === 302 ? { location: "https://elsewhere.example" } : {}).end(body);
        return true;
      };
      assert.match(await fails(["list"]), message);
    }
  });

  it("refuses unknown commands, options and values, and sends nothing", async () => {
    for (const [args, message] of [
      [["rnu"], /^error: unknown command 'rnu' \(Did you mean run\?\)\nSee: mags help\n$/],
      [
        ["run", "ls", "-la"],
        /^error: unknown option '-la'\nIf it belongs to the script, quote that or put -- before it\.\n$/,
      ],
      [["list", "--wide"], /^error: unknown option '--wide'.*\nSee: mags help list\n$/],
      [["run", "--vcpus", "2.5", "x"], /'2.5' is invalid. It must be a whole number/],
      [["run", "--timeout", "-1", "x"], /It must be a number of seconds, more than 0/],
      [["run", "--env", "NOT_SET_HERE", "x"], /There is no variable NOT_SET_HERE here/],
      [["run", "--label", "x", "x"], /It must be KEY=VALUE/],
      [["run", "--type", "file", "x"], /Allowed choices are inline, url/],
      [["status"], /missing required argument 'name\|id'/],
      [["status", "a", "b"], /too many arguments/],
      [["exec", "box"], /missing required argument 'command'/],
    ] as const)
      assert.match(await fails(args), message);
    assert.equal(api.requests.length, 0);
  });

  it("says of known commands that this version lacks them", async () => {
    assert.match(await fails(["cron", "list"]), /^error: mags cron is not supported by this version of mags yet\n/);
    assert.equal(api.requests.length, 0);
  });

  it("refuses options that contradict each other, before anything is sent", async () => {
    for (const args of [["-w", "a"], ["-n", "a"], ["-p"], ["--base", "a"]])
      assert.match(await fails(["run", "-e", ...args, "echo"]), /^error: --ephemeral cannot be combined with/);
    assert.match(await fails(["run", "--no-sleep", "-w", "a", "echo"]), /^error: --no-sleep needs --persistent/);
    assert.match(await fails(["run", "--url", "-w", "a", "echo"]), /^error: --url needs --persistent/);
    assert.match(await fails(["run", "-p", "--port", "80", "echo"]), /^error: --port needs --url\n/);
    assert.match(await fails(["run", "-p", "--url", "--port", "0", "echo"]), /It must be the number of a port/);
    assert.match(await fails(["run", "-p", "--url", "--detach", "echo"]), /^error: --url cannot be combined/);
    assert.match(await fails(["url", "box", "22"]), /^error: port 22 is SSH.*\n.*mags ssh box/);
    assert.match(await fails(["url", "link", "box", "--expires", "2 hours"]), /It must be a time like 90s/);
    assert.match(await fails(["set", "box"]), /^error: nothing to change\n.*--no-sleep \| --sleep/);
    assert.match(await fails(["resize", "box"]), /--disk <GB>' not specified/);
    const unnamed = await fails(["new"]);
    assert.match(unnamed, /^error: a name is required\n/);
    for (const words of ["<name> [-p] [--base <workspace>] [--disk <GB>]", "-p, --persistent"])
      assert.ok(unnamed.includes(words), words);
    assert.equal(api.requests.length, 0);
  });

  it("passes on words that look like options after --", async () => {
    const result = await cli.run(["run", "--", "echo", "-n", "--json"]);
    assert.equal(result.stdout.toString(), "--json");
  });

  it("colours errors where colours are wanted", async () => {
    const red = "\u001b[31m";
    assert.ok(!(await fails(["list"], { MAGS_API_TOKEN: "wrong" })).includes("\u001b"));
    assert.ok((await fails(["list"], { MAGS_API_TOKEN: "wrong", FORCE_COLOR: "1" })).startsWith(red));
    assert.ok(!(await fails(["list"], { MAGS_API_TOKEN: "wrong", FORCE_COLOR: "0" })).includes("\u001b"));
    assert.ok(
      !(await fails(["list"], { MAGS_API_TOKEN: "wrong", FORCE_COLOR: "1", NO_COLOR: "1" })).includes("\u001b"),
    );
    const env = { MAGS_API_TOKEN: "wrong", TERM: "xterm" };
    assert.ok((await cli.startOnTerminal("list", { env }).ended).stdout.toString().startsWith(red));
    const without = cli.startOnTerminal("list", { env: { ...env, NO_COLOR: "1" } });
    assert.ok(!(await without.ended).stdout.includes("\u001b"));
  });

  it("shows help and version on standard output", async () => {
    for (const args of [[], ["help"], ["-h"], ["--help"]]) {
      const result = await cli.run(args);
      assert.match(result.stdout.toString(), /^Usage: mags.*Commands:.*Run Options:.*Examples:/s);
      assert.equal(result.stderr, "");
      assert.equal(result.code, 0);
    }
    assert.match((await cli.run(["help", "exec"])).stdout.toString(), /^Usage: mags exec /);
    for (const flag of ["-v", "--version"])
      assert.match((await cli.run([flag])).stdout.toString(), /^\d+\.\d+\.\d+\n$/);
  });
});
