import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, startScriptedApi } from "./scripted-api.ts";
import { runHere } from "./scripted-job.ts";

describe("mags run", () => {
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
  beforeEach(() => {
    api.requests.length = 0;
  });
  afterEach(() => {
    api.play = runHere;
    api.intercept = () => false;
  });

  const body = () => api.requests.find(({ method }) => method === "POST")?.body;

  it("passes on both streams apart, and the exit code", async () => {
    const result = await cli.run(["run", "echo out; echo err >&2; exit 7"]);
    assert.equal(result.stdout.toString(), "out\n");
    assert.equal(result.stderr, "err\n");
    assert.equal(result.code, 7);
  });

  it("says once that the job is refused and submitted again", async () => {
    let refused = 0;
    api.intercept = ({ method }, reply) => {
      if (method !== "POST" || refused === 3) return false;
      refused++;
      reply.writeHead(429, { "content-type": "application/json", "retry-after": "0" });
      reply.end(JSON.stringify({ error: "not accepted: 3 jobs wait", code: "too_many_requests" }));
      return true;
    };
    const result = await cli.run(["run", "echo hi"]);
    assert.deepEqual([result.code, result.stdout.toString()], [0, "hi\n"]);
    assert.match(result.stderr, /^[^\n]*not accepted: 3 jobs wait; trying again\n$/);
  });

  it("passes on output while the script runs", async () => {
    api.play = (job) => job.write("stdout", "first");
    const running = cli.start(["run", "x"]);
    await until("the first output", () => running.stdout() === "first");
    api.jobs.at(-1)?.write("stderr", "second").exit(0);
    const result = await running.ended;
    assert.equal(result.stderr, "second");
    assert.equal(result.code, 0);
  });

  it("passes on bytes exactly, also where a character is cut", async () => {
    const pieces = [
      randomBytes(70_000),
      Buffer.from("ü").subarray(0, 1),
      Buffer.from("ü").subarray(1),
      Buffer.alloc(3),
    ];
    api.play = (job) => {
      for (const piece of pieces) job.write("stdout", piece);
      job.exit(0);
    };
    const result = await cli.run(["run", "x"]);
    assert.deepEqual(result.stdout, Buffer.concat(pieces));
  });

  it("keeps the order of the streams where both are one pipe", async () => {
    api.play = (job) => {
      for (let n = 0; n < 3000; n++) job.write(n % 2 ? "stderr" : "stdout", `${n}\n`);
      job.exit(0);
    };
    const result = await cli.shell("mags run x 2>&1");
    assert.deepEqual(
      result.stdout.toString().trim().split("\n").map(Number),
      Array.from({ length: 3000 }, (_, n) => n),
    );
  });

  it("joins the words of the script and takes options before and after them", async () => {
    await cli.run(["run", "--name", "words", "echo", "a  b", "c", "--timeout", "1.5", "--detach"]);
    assert.deepEqual(body(), {
      script: "echo a  b c",
      type: "inline",
      persistent: false,
      name: "words",
      workspace_id: "words",
      timeout: 1.5,
    });
  });

  it("sends every option by its name on the wire", async () => {
    api.play = (job) => job.exit(0);
    const flags =
      "--disk 4 --vcpus 3 --memory 512 --image standard --label a=1 --label b=x=y --env K=v=w --env FROM --egress a.b,*.c";
    await cli.run(["run", ...flags.split(" "), "--type", "url", "https://example.com/s"], { env: { FROM: "here" } });
    assert.deepEqual(body(), {
      script: "https://example.com/s",
      type: "url",
      persistent: false,
      environment: { K: "v=w", FROM: "here" },
      disk_gb: 4,
      vcpus: 3,
      memory_mb: 512,
      rootfs_type: "standard",
      egress: { allow: ["a.b", "*.c"] },
      labels: { a: "1", b: "x=y" },
    });
  });

  it("reads the script from standard input or a file", async () => {
    const file = join(cli.folder, "script.sh");
    await writeFile(file, "#!/bin/sh\necho from a file\n");
    assert.equal((await cli.run(["run"], { input: "echo from stdin" })).stdout.toString(), "from stdin\n");
    assert.equal((await cli.run(["run", "--script-file", "-"], { input: "echo dash" })).stdout.toString(), "dash\n");
    assert.equal((await cli.run(["run", "--script-file", file])).stdout.toString(), "from a file\n");
  });

  it("refuses what cannot be a script before anything is sent", async () => {
    const file = join(cli.folder, "wrong");
    const cases: readonly (readonly [Buffer | string, RegExp])[] = [
      [Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0]), /wrong is not a script: it holds binary data/],
      [Buffer.from([0x61, 0xff, 0xfe]), /wrong is not a script: it holds bytes that are not UTF-8/],
      [Buffer.alloc(1024 * 1024 + 1, "a"), /wrong is larger than 1 MiB/],
      [" \n\t", /wrong is empty/],
    ];
    for (const [content, message] of cases) {
      await writeFile(file, content);
      const result = await cli.run(["run", "--script-file", file]);
      assert.match(result.stderr, message);
      assert.equal(result.code, 1);
    }
    for (const [args, message] of [
      [["run", "--script-file", join(cli.folder, "missing")], /missing: there is no such file/],
      [["run", "--script-file", cli.folder], /it is a directory/],
      [["run", "--script-file", file, "echo"], /both a script and --script-file/],
      [["run"], /standard input is empty/],
      [["run", ""], /the script is empty/],
    ] as const) {
      const result = await cli.run(args);
      assert.match(result.stderr, message);
      assert.equal(result.code, 1);
    }
    assert.equal(api.requests.length, 0);
  });

  it("tells why a job failed and exits with 1", async () => {
    api.play = (job) => job.end({ status: "error", error_message: "the VM of this job was lost" });
    const result = await cli.run(["run", "x"]);
    assert.match(result.stderr, /^error: job \S+ failed: the VM of this job was lost\n$/);
    assert.equal(result.code, 1);
  });

  it("says so when somebody else stopped the job, and exits with 1", async () => {
    api.play = (job) => job.end({});
    const result = await cli.run(["run", "x"]);
    assert.match(result.stderr, /was stopped before its script ended/);
    assert.equal(result.code, 1);
  });

  it("shows remarks of the platform on standard error", async () => {
    api.play = (job) => job.write("system", "output limit reached").exit(0);
    const result = await cli.run(["run", "x"]);
    assert.equal(result.stdout.toString(), "");
    assert.equal(result.stderr, "mags: output limit reached\n");
  });

  it("says once that the workspace is open as a copy, whose changes are dropped", async () => {
    const message = "workspace w is open as a copy";
    api.play = (job) => {
      job.events.push({ id: 3, at: "2026-01-02T03:04:05.678Z", name: "local_copy", message, data: {} });
      job.write("stdout", "out\n").exit(0);
    };
    const told = async (...flags: string[]) => (await cli.run(["run", "-w", "w", ...flags, "x"])).stderr;
    assert.equal(await told(), `mags: ${message}\n`);
    assert.equal(await told("--detach"), `mags: ${message}\n`);
    assert.ok((await told("-p", "--no-sync")).endsWith(`mags: ${message}\n`));
    assert.equal(await told("--json"), "");
    api.play = (job) => job.exit(0);
    assert.equal(await told(), "");
  });

  it("prints the id and returns at once with --detach", async () => {
    api.play = () => {};
    const result = await cli.run(["run", "--detach", "sleep 1000"]);
    assert.equal(result.stdout.toString(), `${api.jobs.at(-1)?.status.request_id}\n`);
    assert.equal(result.code, 0);
    const json = await cli.run(["run", "--detach", "--json", "sleep 1000"]);
    assert.deepEqual(JSON.parse(json.stdout.toString()), {
      request_id: api.jobs.at(-1)?.status.request_id,
      status: "accepted",
      message: "Mags job submitted successfully",
    });
  });

  it("prints one JSON object with --json, and still exits with the script's code", async () => {
    const result = await cli.run(["run", "--json", "-n", "object", "echo out; echo err >&2; exit 3"]);
    assert.deepEqual(JSON.parse(result.stdout.toString()), {
      request_id: api.jobs.at(-1)?.status.request_id,
      name: "object",
      status: "completed",
      exit_code: 3,
      script_duration_ms: 12,
      error_message: null,
      stdout: "out\n",
      stderr: "err\n",
      output_truncated: false,
    });
    assert.equal(result.stderr, "");
    assert.equal(result.code, 3);
  });

  it("keeps only the beginning of much output in the JSON object", async () => {
    api.play = (job) => {
      for (let n = 0; n < 30; n++) job.write("stdout", Buffer.alloc(64 * 1024, "x"));
      job.exit(0);
    };
    const object = JSON.parse((await cli.run(["run", "--json", "x"])).stdout.toString());
    assert.equal(object.stdout.length, 1024 * 1024);
    assert.equal(object.output_truncated, true);
  });
});
