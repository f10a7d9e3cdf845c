import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, send, startScriptedApi } from "./scripted-api.ts";
import { runHere, type ScriptedJob } from "./scripted-job.ts";

describe("commands about jobs", () => {
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
    api.cutAfter = () => undefined;
    api.jobs.length = 0;
    api.requests.length = 0;
  });

  async function submit(name: string): Promise<ScriptedJob> {
    api.play = () => {};
    await cli.run(["run", "--detach", "-n", name, "x"]);
    const job = api.jobs.at(-1);
    assert.ok(job);
    return job;
  }

  async function json(args: readonly string[]): Promise<unknown> {
    const { stdout, stderr, code } = await cli.run([...args, "--json"]);
    assert.equal(stderr, "");
    assert.equal(code, 0);
    assert.equal(stdout.toString().trimEnd().split("\n").length, 1);
    return JSON.parse(stdout.toString());
  }

  it("exec passes on both streams exactly and the exit code, and gives the words on as they are", async () => {
    await submit("box");
    const result = await cli.run(["exec", "box", "printf", "'\\377\\000'; echo err >&2; exit 9"]);
    assert.deepEqual(result.stdout, Buffer.from([255, 0]));
    assert.equal(result.stderr, "err\n");
    assert.equal(result.code, 9);
    const flags = await cli.run(["exec", "--timeout", "2.5", "box", "echo", "-n", "--json", "-f"]);
    assert.equal(flags.stdout.toString(), "--json -f");
    const { command, timeoutMs } = api.execs.started.at(-1) ?? {};
    assert.deepEqual({ command, timeoutMs }, { command: "echo -n --json -f", timeoutMs: 2500 });
  });

  it("exec takes -- before the command, and says where its options stand", async () => {
    await submit("box");
    assert.equal((await cli.run(["exec", "box", "--", "echo", "-n", "hi"])).stdout.toString(), "hi");
    const misplaced = await cli.run(["exec", "box", "--timeout", "5", "ls"]);
    assert.equal(misplaced.code, 1);
    assert.match(misplaced.stderr, /--timeout is no command.* mags exec --timeout 5 box ls/);
  });

  it("exec waits for a job that has no VM yet", async () => {
    await submit("box");
    let asked = 0;
    api.intercept = ({ path }, reply) => {
      if (!path.endsWith("/exec") || ++asked > 2) return false;
      send(reply, 409, { error: "there is no VM associated with this job yet", code: "no_vm" });
      return true;
    };
    assert.equal((await cli.run(["exec", "box", "echo", "there"])).stdout.toString(), "there\n");
    assert.equal(asked, 3);
  });

  it("exec --json gives one object and still exits with the command's code", async () => {
    await submit("box");
    const result = await cli.run(["exec", "--json", "box", "echo out; exit 4"]);
    assert.deepEqual(JSON.parse(result.stdout.toString()), {
      exit_code: 4,
      stdout: "out\n",
      stderr: "",
      timed_out: false,
      truncated: false,
    });
    assert.equal(result.code, 4);
  });

  it("exec says when the command took too long", async () => {
    await submit("box");
    const result = await cli.run(["exec", "--timeout", "0.2", "box", "exec sleep 100"]);
    assert.match(result.stderr, /too long/);
    assert.equal(result.code, 124);
  });

  it("exec in an ended job fails with the server's words", async () => {
    (await submit("gone")).exit(0);
    const result = await cli.run(["exec", "gone", "true"]);
    assert.equal(result.stderr, "error: the job is not running\n");
    assert.equal(result.code, 1);
  });

  it("status shows what is known of a job", async () => {
    const job = await submit("box");
    const running = (await cli.run(["status", "box"])).stdout.toString();
    assert.match(
      running,
      new RegExp(`^ID: +${job.status.request_id}\nName: +box\nWorkspace: box\nStatus: +running\nVM: +vm-\\w+\n`),
    );
    job.end({ status: "error", error_message: "its VM was lost" });
    assert.match((await cli.run(["status", "box"])).stdout.toString(), /Status: +error\nError: +its VM was lost\n/);
    assert.deepEqual(await json(["status", "box"]), job.status);
  });

  it("logs prints what a running job wrote so far, streams apart", async () => {
    (await submit("box")).write("stdout", "out\npart").write("stderr", "err\n");
    const result = await cli.run(["logs", "box"]);
    assert.equal(result.stdout.toString(), "out\npart");
    assert.equal(result.stderr, "err\n");
  });

  it("logs of an ended job come byte for byte, over broken connections too", async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 10, 195]);
    (await submit("box")).write("stdout", bytes).write("stdout", bytes).exit(0);
    let cuts = 0;
    api.cutAfter = () => (cuts++ === 0 ? 220 : undefined);
    assert.deepEqual((await cli.run(["logs", "box"])).stdout, Buffer.concat([bytes, bytes]));
    assert.ok(cuts > 1, "the stream was cut");
  });

  it("logs -f goes on until the job ends, and by the id it found first", async () => {
    const job = await submit("box");
    const running = cli.start(["logs", "-f", "box"]);
    job.write("stdout", "one ");
    await until("the first output", () => running.stdout() === "one ");
    await submit("box");
    await api.goAway();
    await api.comeBack();
    job.write("stdout", "two").exit(3);
    const result = await running.ended;
    assert.equal(result.stdout.toString(), "one two");
    assert.equal(result.code, 0);
  });

  it("logs --json gives the lines as objects, with -f one a line", async () => {
    const job = await submit("box");
    job.write("stdout", "a\nb\n");
    assert.deepEqual(await json(["logs", "box"]), { logs: job.entries("utf8") });
    job.exit(0);
    const followed = (await cli.run(["logs", "-f", "--json", "box"])).stdout.toString().trimEnd().split("\n");
    assert.deepEqual(
      followed.map((line) => JSON.parse(line)),
      job.entries("utf8"),
    );
  });

  it("logs --system asks for the events of the platform", async () => {
    (await submit("box")).exit(0);
    await cli.run(["logs", "--system", "box"]);
    assert.equal(api.requests.at(-1)?.query.get("system"), "1");
  });

  it("list shows a table and says when there is more", async () => {
    (await submit("first")).exit(2);
    const second = await submit("second");
    const { stdout } = await cli.run(["list"]);
    const [title, ...rows] = stdout.toString().trimEnd().split("\n");
    assert.match(title ?? "", /^ID {36}NAME {4}WORKSPACE {2}STATUS {5}EXIT {2}AGE +DURATION$/);
    assert.match(
      rows[0] ?? "",
      new RegExp(`^${second.status.request_id}  second  second     running    -     \\d+d  +-$`),
    );
    assert.match(rows[1] ?? "", /first {3}first {6}completed {2}2 {5}\d+d +12ms$/);
    const paged = await cli.run(["ls", "--page", "1", "--page-size", "1"]);
    assert.equal(paged.stdout.toString().trimEnd().split("\n").length, 2);
    assert.match(paged.stderr, /1 of 2 jobs; more with --page 2/);
    const page = (await json(["ls", "--status", "running", "--label", "a=b"])) as { total: number };
    assert.equal(page.total, 2);
    assert.equal(api.requests.at(-1)?.query.toString(), "page=1&page_size=20&status=running&label=a%3Db");
  });

  it("stop ends a job and passes on what the server says", async () => {
    const job = await submit("box");
    job.on("stop", () => job.end({}));
    assert.equal((await cli.run(["stop", "box"])).stdout.toString(), "Job box stopped\n");
    assert.deepEqual(await json(["stop", "box"]), { success: true, message: "Job box stopped", stopped: true });
  });

  it("stop waits for what is still being synced, and says so once", async () => {
    const job = await submit("slow");
    job.on("stop", () => job.end({}));
    api.stopsAfter = 2;
    const { code, stdout, stderr } = await cli.run(["stop", "slow"]);
    assert.equal(code, 0);
    assert.equal(stdout.toString(), "Job slow stopped\n");
    assert.equal(stderr.match(/is still being synced/g)?.length, 1);
    assert.equal(api.requests.filter(({ path }) => path.endsWith("/stop")).length, 2);
  });

  it("events shows what happened, with times", async () => {
    await submit("box");
    const { stdout } = await cli.run(["events", "box"]);
    assert.equal(
      stdout.toString(),
      "2026-01-02T03:04:05.000Z  accepted  accepted\n2026-01-02T03:04:05.040Z  started   started in vm-0123456789ab\n",
    );
    assert.equal(((await json(["events", "box"])) as { events: unknown[] }).events.length, 2);
  });

  it("pool and usage show the server's numbers", async () => {
    const pool = (await cli.run(["pool"])).stdout.toString();
    assert.match(pool, /^Idle VMs: +9\nBusy VMs: +1\n/);
    assert.match(pool, /Accelerator: +tcg \(\/dev\/kvm does not exist\)\n$/);
    const usage = (await cli.run(["usage", "--days", "7"])).stdout.toString();
    assert.match(usage, /Jobs: +12\n/);
    assert.equal(api.requests.at(-1)?.query.get("window_days"), "7");
    assert.equal(((await json(["pool"])) as { idle_vms: number }).idle_vms, 9);
    assert.equal(((await json(["usage"])) as { total_jobs: number }).total_jobs, 12);
  });

  it("names that do not exist are an error in every command that takes one", async () => {
    for (const command of ["status", "logs", "stop", "events", "exec"]) {
      const result = await cli.run([command, "nobody", ...(command === "exec" ? ["true"] : [])]);
      assert.match(result.stderr, /^error: No job found .*nobody.*\nSee your jobs with: mags list\n$/);
      assert.equal(result.code, 1);
    }
  });
});
