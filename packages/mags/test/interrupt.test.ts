import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, it } from "node:test";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, send, startScriptedApi } from "./scripted-api.ts";
import { runHere } from "./scripted-job.ts";

describe("mags run and its end by others", () => {
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
    api.play = runHere;
    api.intercept = () => false;
    api.requests.length = 0;
  });

  const stops = () => api.requests.filter(({ path }) => path.endsWith("/stop")).length;

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    it(`stops the job at ${signal}, shows its last output, says so and exits with ${code}`, async () => {
      const running = cli.start(["run", "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.05; done"]);
      await until("the script to be up", () => running.stdout() === "up\n");
      running.child.kill(signal);
      const result = await running.ended;
      const id = api.jobs.at(-1)?.status.request_id;
      assert.equal(result.stdout.toString(), "up\nbye\n");
      assert.match(result.stderr, new RegExp(`Stopping job ${id}.*Stopped job ${id}`, "s"));
      assert.equal(result.code, code);
      assert.equal(api.jobs.at(-1)?.status.status, "completed");
    });
  }

  it("stops a job that was still being submitted", async () => {
    let release = () => {};
    api.play = () => {};
    api.intercept = ({ method, path }, reply) => {
      if (method !== "POST" || !path.endsWith("/mags-jobs")) return false;
      release = () => send(reply, 202, { request_id: "5f0c5c5e-0000-4000-8000-000000000001", status: "accepted" });
      return true;
    };
    const running = cli.start(["run", "x"]);
    await until("the submission", () => api.requests.length > 0);
    running.child.kill("SIGINT");
    // The signal has been handled when a second process that got it later has ended.
    const witness = cli.start(["run", "--script-file", "-"], { input: "" });
    await witness.ended;
    release();
    assert.equal((await running.ended).code, 130);
    assert.equal(stops(), 1);
  });

  it("leaves at once at the second signal", async () => {
    api.play = (job) => job.write("stdout", "up");
    const running = cli.start(["run", "x"]);
    await until("the script to be up", () => running.stdout() === "up");
    running.child.kill("SIGINT");
    await until("the remark", () => running.stderr().includes("Stopping"));
    running.child.kill("SIGINT");
    assert.equal((await running.ended).code, 130);
    api.jobs.at(-1)?.exit(0);
  });

  it("says so when the job cannot be stopped", async () => {
    api.play = (job) => job.write("stdout", "up");
    api.intercept = ({ path }, reply) => {
      if (!path.endsWith("/stop")) return false;
      send(reply, 500, { error: "something broke" });
      api.jobs.at(-1)?.exit(0);
      return true;
    };
    const running = cli.start(["run", "x"]);
    await until("the script to be up", () => running.stdout() === "up");
    running.child.kill("SIGINT");
    const result = await running.ended;
    assert.match(result.stderr, /error: job \S+ could not be stopped and may go on: something broke\n.*mags logs -f/);
    assert.equal(result.code, 130);
  });

  it("ends quietly, and ends the job, when nobody reads its output any more", async () => {
    const result = await cli.shell("set -o pipefail; mags run 'while echo y; do :; done' | head -1; echo $?");
    assert.equal(result.stdout.toString(), "y\n141\n");
    assert.equal(result.stderr, "");
    assert.equal(stops(), 1);
  });

  it("waits for a slow reader without piling up the output", async () => {
    const piece = Buffer.alloc(64 * 1024, "x");
    const pieces = 2048;
    api.play = (job) => {
      for (let n = 0; n < pieces; n++) job.write("stdout", piece);
      job.exit(0);
    };
    const running = cli.start(["run", "x"], { unread: true });
    let [sent, steadyFor] = [0, 0];
    await until("the transfer to stand still", () => {
      const now = api.jobs.at(-1)?.sent ?? 0;
      steadyFor = now > 0 && now === sent ? steadyFor + 1 : 0;
      sent = now;
      return steadyFor > 40;
    });
    const [, kibibytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${running.child.pid}/status`, "utf8")) ?? [];
    assert.ok(sent < pieces / 2, `the server could send ${sent} of ${pieces} pieces`);
    assert.ok(Number(kibibytes) < 128 * 1024, `the process takes ${kibibytes} KiB`);
    running.read();
    assert.equal((await running.ended).stdout.length, pieces * piece.length);
  });

  it("tells of a full disk and ends the job", async () => {
    const result = await cli.shell("mags run 'while echo y; do :; done' > /dev/full");
    assert.match(result.stderr, /^error: cannot write the output: /);
    assert.equal(result.code, 1);
    assert.equal(stops(), 1);
  });
});
