import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { type ExecTestClient, openExecClient, waitFor } from "@mags/test-kit";
import xterm from "@xterm/headless";
import { startServer, type TestServer } from "./harness/server.ts";

/** Bytes through stdin and stdout, and past a slow reader; 1000 is what to try on a fast machine. */
const MEGABYTES = Number(process.env.MAGS_EXEC_MB ?? 100);
const JOBS = "/api/v1/mags-jobs";

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const numbers = (count: number) => Buffer.from(Array.from({ length: count }, (_, n) => `${n + 1}\n`).join(""));

let server: TestServer;
let box: string;
before(async () => {
  server = await startServer({ node: { default_memory_mb: 512 } });
  box = await server.submit({ script: "exec sleep infinity", name: "box" });
  await server.running(box);
});
after(() => server[Symbol.asyncDispose]());

const exec = (command: string, options: Parameters<TestServer["mags"]>[1] = {}, flags: readonly string[] = []) =>
  server.mags(["exec", ...flags, "box", command], options);
const start = (command: string | undefined, options: object = {}, job = "box") =>
  openExecClient(server.api, `${JOBS}/${job}/exec`, { command, ...options });
const attach = (execId: string, offset: number) =>
  openExecClient(server.api, `/api/v1/mags-execs/${execId}?offset=${offset}`);

async function rssMiB(): Promise<number> {
  const { pid } = await server.serverStatus();
  return Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

describe("mags exec", () => {
  it("passes exit codes on, tells signals, and finds no program that is not there", async () => {
    const failed = await exec("echo out; echo err >&2; exit 7");
    assert.deepEqual([failed.exitCode, failed.text, failed.errors], [7, "out\n", "err\n"]);
    assert.equal((await exec("kill -TERM $$")).exitCode, 143);
    const missing = await exec("no-such-program --flag");
    assert.equal(missing.exitCode, 127);
    assert.match(missing.errors, /no-such-program.*not found/);
    assert.equal((await exec("exec sleep 60", {}, ["--timeout", "1"])).exitCode, 124);
  });

  it("passes several lines and quotes on untouched", async () => {
    const command =
      "for word in 'a  b' \"it's\" '$HOME'; do\n  printf '<%s>\\n' \"$word\"\ndone\n# — ünïcode\nprintf '\\\\n%s' --x";
    assert.equal((await exec(command)).text, "<a  b>\n<it's>\n<$HOME>\n\\n--x");
  });

  it(`carries ${MEGABYTES} MB in and out with the same checksum`, { timeout: 600_000 }, async () => {
    const block = randomBytes(1_000_000);
    const input = Buffer.concat(Array.from({ length: MEGABYTES }, () => block));
    const there = await exec("sha256sum", { input, timeoutMs: 300_000 });
    assert.equal(there.text, `${digest(input)}  -\n`);
    const back = await exec("cat", { input, timeoutMs: 300_000 });
    assert.equal(back.stdout.length, input.length);
    assert.equal(digest(back.stdout), digest(input));
  });

  it("ends what a command leaves, but not what it detached", async () => {
    await exec("sleep 4001 & setsid sleep 4002 >/dev/null 2>&1 < /dev/null &");
    await waitFor(async () => (await exec("pgrep -xf 'sleep 4001' | wc -l")).text === "0\n", { what: "its end" });
    assert.equal((await exec("pgrep -xf 'sleep 4002' | wc -l")).text, "1\n");
  });

  it("sends Ctrl-C to the command, and leaves at the second", async () => {
    const running = server.startMags([
      "exec",
      "box",
      "trap 'echo caught' INT; echo ready; while :; do sleep 0.1; done",
    ]);
    await waitFor(() => running.soFar().includes("ready"), { what: "its output" });
    running.child.kill("SIGINT");
    await waitFor(() => running.soFar().includes("caught"), { what: "the signal" });
    running.child.kill("SIGINT");
    assert.equal((await running.result).exitCode, 130);
  });

  it("says what is wrong with a job that has ended, or that nobody knows", async () => {
    const ended = await server.submit({ script: "true", name: "over" });
    await server.ended(ended);
    const gone = await server.mags(["exec", "over", "true"]);
    assert.deepEqual([gone.exitCode, /not running/.test(gone.errors)], [1, true]);
    const unknown = await server.mags(["exec", "nobody", "true"]);
    assert.deepEqual([unknown.exitCode, /No job found/.test(unknown.errors)], [1, true]);
  });

  it("ends with 137 and the reason when the job is stopped under it", async () => {
    const id = await server.submit({ script: "exec sleep infinity", name: "short" });
    await server.running(id);
    const running = server.startMags(["exec", "short", "echo on; exec sleep 100"]);
    await waitFor(() => running.soFar().includes("on"), { what: "its output" });
    await server.mags(["stop", "short"]);
    const { exitCode, errors } = await running.result;
    assert.equal(exitCode, 137);
    assert.match(errors, /its job has ended/);
  });
});

describe("a terminal", () => {
  interface Screen {
    readonly client: ExecTestClient;
    type(text: string): void;
    /** Resolves when the screen shows it. */
    shows(pattern: RegExp): Promise<void>;
  }

  /** What a person would see: the output goes through a terminal emulator. */
  async function open(command: string | undefined, size = { rows: 24, cols: 80 }): Promise<Screen> {
    const terminal = new xterm.Terminal({ ...size, allowProposedApi: true });
    const client = await start(command, { tty: { ...size, term: "xterm-256color" } });
    client.acknowledges = true;
    await client.message("started", 60_000);
    let shown = 0;
    let typed = 0;
    const text = () => {
      const lines: string[] = [];
      for (let row = 0; row < terminal.rows; row++)
        lines.push(
          terminal.buffer.active.getLine(terminal.buffer.active.viewportY + row)?.translateToString(true) ?? "",
        );
      return lines.join("\n");
    };
    const type = (input: string) => {
      client.input(typed, input);
      typed += Buffer.byteLength(input);
    };
    terminal.onData(type); // answers to what programs ask of a terminal
    return {
      client,
      type,
      async shows(pattern) {
        const look = async () => {
          const output = client.output("stdout");
          await new Promise<void>((done) => terminal.write(output.subarray(shown), done));
          shown = output.length;
          return pattern.test(text());
        };
        await waitFor(look, { what: "the screen", deadlineMs: 60_000 }).catch(() => {
          assert.fail(`${pattern} is not on the screen:\n${text()}`);
        });
      },
    };
  }

  it("runs vim: a file is written", async () => {
    const { client, type, shows } = await open("vim /root/note.txt");
    await shows(/note\.txt.*\[New\]/);
    type("ihello from vim\u001b");
    await shows(/^hello from vim/);
    type(":wq\r");
    assert.equal((await client.message("end")).exit_code, 0);
    assert.equal((await exec("cat /root/note.txt")).text, "hello from vim\n");
  });

  it("runs top: it fills the screen, and q ends it", async () => {
    const { client, type, shows } = await open("top");
    await shows(/^top - .*load average/);
    await shows(/PID USER .*COMMAND/);
    type("q");
    assert.equal((await client.message("end")).exit_code, 0);
  });

  it("is a login shell with the size that it is given, and given later", async () => {
    const { client, type, shows } = await open(undefined, { rows: 30, cols: 101 });
    type("stty size; pwd\r");
    await shows(/^30 101\n\/root/m);
    client.send({ type: "resize", rows: 40, cols: 120 });
    type("clear; stty size\r");
    await shows(/^40 120/m);
    type("exit 5\r");
    assert.equal((await client.message("end")).exit_code, 5);
  });

  it("that is closed half-way hangs its programs up", async () => {
    const { client, type, shows } = await open(
      "trap 'echo hung up > /root/hup; exit' HUP; echo ready; while :; do sleep 0.1; done",
    );
    await shows(/ready/);
    type("x");
    client.send({ type: "hangup" });
    await client.closed;
    await waitFor(async () => (await exec("cat /root/hup")).text === "hung up\n", { what: "the signal" });
  });
});

describe("a lost connection", () => {
  it("costs no byte: the command is taken up in the middle of its output", async () => {
    const expected = numbers(600_000);
    let client = await start("seq 1 600000; exit 9");
    const pieces: Buffer[] = [];
    let offset = 0;
    for (const upTo of [1, 70_000, 70_001, 1_000_000, expected.length]) {
      await waitFor(() => offset + client.bytes >= upTo || client.ended(), {
        what: `${upTo} bytes`,
        deadlineMs: 60_000,
      });
      if (upTo < expected.length) client.socket.terminate();
      else await client.message("end", 60_000);
      const output = client.output("stdout");
      pieces.push(output);
      offset += output.length;
      if (upTo < expected.length) {
        client = await attach(client.execId, offset);
        client.acknowledges = true;
      }
    }
    assert.equal((await client.message("end")).exit_code, 9);
    assert.equal(digest(Buffer.concat(pieces)), digest(expected));
  });

  it("of a server that is killed costs none either, nor the exit code", { timeout: 300_000 }, async () => {
    const input = numbers(400_000);
    const running = server.startMags(["exec", "box", "cat; sleep 2; seq 1 200000; exit 11"], {
      input,
      timeoutMs: 200_000,
    });
    await waitFor(() => running.soFar().length > 500_000, { what: "output", deadlineMs: 60_000 });
    await server.kill();
    await server.start();
    await waitFor(() => running.soFar().length > input.length, { what: "more", deadlineMs: 60_000 });
    await server.kill();
    await server.start();
    const { exitCode, stdout, errors } = await running.result;
    assert.equal(exitCode, 11, errors);
    assert.equal(digest(stdout), digest(Buffer.concat([input, numbers(200_000)])));
  });
});

describe("many and slow clients", () => {
  it(`a reader that does not read ${MEGABYTES} MB costs the server no memory`, { timeout: 600_000 }, async () => {
    const before = await rssMiB();
    const size = MEGABYTES * 1_000_000;
    const client = await start(`head -c ${size} /dev/zero; exit 3`);
    await waitFor(() => client.bytes >= 1024 * 1024, { what: "a full window" });
    let most = 0;
    const began = performance.now();
    await waitFor(
      async () => {
        most = Math.max(most, await rssMiB());
        return performance.now() - began > 5_000;
      },
      { what: "five seconds", intervalMs: 500 },
    );
    assert.ok(client.bytes < 3 * 1024 * 1024, `${client.bytes} bytes were sent ahead`);
    client.discards = true;
    client.acknowledges = true;
    client.send({ type: "ack", offset: client.bytes });
    const end = await client.message("end", 500_000);
    most = Math.max(most, await rssMiB());
    assert.equal(client.bytes, size);
    assert.equal(end.exit_code, 3);
    assert.ok(most - before < 100, `${before} MiB before, ${most} MiB at most`);
  });

  it("200 commands at once in two VMs all answer", { timeout: 300_000 }, async () => {
    const second = await server.submit({ script: "exec sleep infinity", name: "box2" });
    await server.running(second);
    const clients = await Promise.all(
      Array.from({ length: 200 }, (_, n) => start(`read x; echo ${n} $x`, { stdin: true }, n % 2 ? "box" : "box2")),
    );
    await Promise.all(clients.map((client) => client.message("started", 200_000)));
    for (const client of clients) client.input(0, "go\n");
    await Promise.all(clients.map((client) => client.message("end", 100_000)));
    assert.deepEqual(
      clients.map((client) => client.text("stdout")),
      clients.map((_, n) => `${n} go\n`),
    );
    for (const client of clients) client.send({ type: "done" });
    await server.mags(["stop", "box2"]);
  });

  it("leaves nothing behind", async () => {
    await waitFor(async () => (await server.magsd("doctor", "--leaks")).exitCode === 0, { what: "no leak" });
    await assert.rejects(attach(randomUUID(), 0), /404/);
  });
});
