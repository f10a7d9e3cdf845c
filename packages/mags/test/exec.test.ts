import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { after, before, beforeEach, describe, it } from "node:test";
import { Mags } from "../src/sdk/mags.ts";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, startScriptedApi, TOKEN } from "./scripted-api.ts";

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const numbers = (count: number) => Buffer.from(Array.from({ length: count }, (_, n) => `${n + 1}\n`).join(""));

let api: ScriptedApi;
let cli: CliBench;
let mags: Mags;
before(async () => {
  api = await startScriptedApi();
  cli = await createCliBench(api);
  mags = new Mags({ apiToken: TOKEN, apiUrl: api.url });
  api.play = () => {};
  await mags.run("sleep infinity", { name: "box" });
});
after(async () => {
  await cli[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});
beforeEach(() => {
  api.execs.cutAfter = () => undefined;
  api.execs.cutStart = () => false;
  api.execs.lateStart = () => false;
});

async function collect(stream: ReturnType<Mags["execStream"]>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const { bytes } of stream) pieces.push(bytes);
  return Buffer.concat(pieces);
}

describe("execStream", () => {
  it("gives output, takes input and gives the exit", async () => {
    const stream = mags.execStream("box", "cat; echo err >&2; exit 3", { stdin: true });
    const writing = stream.write("typed").then(() => stream.end());
    const pieces: string[] = [];
    for await (const { source, bytes } of stream) pieces.push(`${source} ${bytes}`);
    await writing;
    assert.deepEqual(pieces.sort(), ["stderr err\n", "stdout typed"]);
    assert.deepEqual(await stream.ended, { exitCode: 3, signal: undefined, timedOut: false, reason: undefined });
  });

  it("goes on over connections that are cut, and loses and doubles nothing in either direction", async () => {
    const first = api.execs.connections;
    api.execs.cutAfter = (number) => (number - first < 12 ? 1 + ((number * 7919) % 90_000) : undefined);
    const stream = mags.execStream("box", "cat", { stdin: true });
    const input = numbers(200_000);
    const writing = (async () => {
      for (let at = 0; at < input.length; at += 50_000) await stream.write(input.subarray(at, at + 50_000));
      stream.end();
    })();
    assert.equal(digest(await collect(stream)), digest(input));
    await writing;
    assert.equal((await stream.ended).exitCode, 0);
    assert.ok(api.execs.connections - first > 10);
  });

  it("starts a command once, whatever it hears of its start", async () => {
    const first = api.execs.connections;
    const begun = api.execs.started.length;
    api.execs.cutStart = (number) => number === first;
    assert.equal((await collect(mags.execStream("box", "echo once"))).toString(), "once\n");
    assert.equal(api.execs.started.length, begun + 1);
  });

  it("takes up a command whose first start came late", async () => {
    const first = api.execs.connections;
    const begun = api.execs.started.length;
    api.execs.lateStart = (number) => number === first;
    assert.equal((await collect(mags.execStream("box", "echo once"))).toString(), "once\n");
    assert.equal(api.execs.started.length, begun + 1);
  });

  it("comes back to a server that was away", async () => {
    const stream = mags.execStream("box", "echo a; sleep 0.5; echo b");
    const output = collect(stream);
    await stream.started;
    await api.goAway();
    await api.comeBack();
    assert.equal((await output).toString(), "a\nb\n");
  });

  it("gives up a server that stays away, and says so", async () => {
    await using gone = await startScriptedApi();
    gone.play = () => {};
    const client = new Mags({ apiToken: TOKEN, apiUrl: gone.url });
    await client.run("x", { name: "box" });
    let told = 0;
    const stream = client.execStream("box", "exec sleep 5", {
      reconnectTimeout: 3_000,
      onConnectionLost: () => void told++,
    });
    const output = collect(stream);
    await stream.started;
    await gone.goAway();
    await assert.rejects(output, { name: "MagsError", code: "connection_lost" });
    await assert.rejects(stream.ended);
    assert.ok(told > 0);
  });

  it("is refused like any call", async () => {
    await assert.rejects(collect(mags.execStream("nobody", "true")), { code: "job_not_found", statusCode: 404 });
    const stranger = new Mags({ apiToken: "mags_wrong", apiUrl: api.url });
    await assert.rejects(collect(stranger.execStream("box", "true")), { statusCode: 401 });
  });

  it("sends signals, sizes and hang-ups", async () => {
    const stream = mags.execStream("box", "exec sleep 100", { tty: { rows: 0, cols: 6 } });
    const output = collect(stream);
    await stream.started;
    assert.deepEqual(api.execs.started.at(-1)?.terminal, { rows: 24, cols: 6 });
    stream.resize({ rows: 7, cols: 8 });
    await until("the size", () => api.execs.resizes.some(({ rows, cols }) => rows === 7 && cols === 8));
    stream.kill("SIGKILL");
    await output;
    const left = mags.execStream("box", "exec sleep 100");
    const reading = collect(left);
    await left.started;
    await left.hangUp();
    await assert.rejects(reading, { code: "connection_lost" });
  });
});

describe("mags exec", () => {
  it("pipes input in and output out, byte for byte", async () => {
    const input = numbers(300_000);
    const result = await cli.run(["exec", "box", "cat"], { input });
    assert.equal(digest(result.stdout), digest(input));
    assert.equal(result.code, 0);
  });

  it("leaves quotes, newlines and dashes as they are", async () => {
    const command = "printf '%s|' \"a  b\" '$HOME' \\\n'c\nd'; echo \"it's\" -n -- --x";
    const result = await cli.run(["exec", "box", command]);
    assert.equal(result.stdout.toString(), "a  b|$HOME|c\nd|it's -n -- --x\n");
    assert.equal(api.execs.started.at(-1)?.command, command);
  });

  it("sets variables, and passes the exit code on", async () => {
    const result = await cli.run(["exec", "--env", "GREETING=hi there", "box", 'echo "$GREETING"; exit 42']);
    assert.equal(result.stdout.toString(), "hi there\n");
    assert.equal(result.code, 42);
  });

  it("sends the first Ctrl-C to the command, and leaves at the second", async () => {
    const running = cli.start(["exec", "box", "trap 'echo int' INT; echo ready; while :; do sleep 0.05; done"]);
    await until("its output", () => running.stdout().includes("ready"));
    running.child.kill("SIGINT");
    await until("the signal", () => running.stdout().includes("int"));
    running.child.kill("SIGINT");
    assert.equal((await running.ended).code, 130);
  });

  it("ends the command when nobody takes its output any more", async () => {
    const result = await cli.shell(
      `set -o pipefail; mags exec box 'trap "exit 3" HUP; echo $$; while :; do echo y; done' | head -1; echo $?`,
    );
    const [pid, code] = result.stdout.toString().split("\n");
    assert.equal(code, "141");
    await until("its end", () => !existsSync(`/proc/${pid}`));
  });

  it("on a terminal gives the command one of the same kind and size, and gives its own back", async () => {
    const terminal = cli.startOnTerminal("exec box 'test -t 0 && echo yes; read line; echo got $line'", {
      env: { TERM: "vt100" },
      input: { open: true },
    });
    await until("the terminal", () => terminal.stdout().includes("yes"));
    terminal.child.stdin?.write("typed\r");
    const { code, stdout } = await terminal.ended;
    assert.match(stdout.toString(), /got typed/);
    assert.equal(code, 0);
    assert.equal(api.execs.started.at(-1)?.terminal?.term, "vt100");
  });

  it("goes on over a broken connection and says so only when it lasts", async () => {
    const first = api.execs.connections;
    api.execs.cutAfter = (number) => (number === first ? 3 : undefined);
    const result = await cli.run(["exec", "box", "echo 1; echo 2; echo 3"]);
    assert.equal(result.stdout.toString(), "1\n2\n3\n");
    assert.equal(result.stderr, "");
  });
});
