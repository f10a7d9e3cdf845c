import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Mags, MagsError } from "../src/sdk/index.ts";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, send, startScriptedApi, TOKEN } from "./scripted-api.ts";
import { runHere, type ScriptedJob } from "./scripted-job.ts";

let api: ScriptedApi;
let cli: CliBench;
let mags: Mags;

before(async () => {
  api = await startScriptedApi();
  cli = await createCliBench(api);
  mags = new Mags({ apiToken: TOKEN, apiUrl: api.url });
});
after(async () => {
  await cli[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});
afterEach(() => {
  api.play = runHere;
  api.intercept = () => false;
  api.jobs.length = 0;
  api.requests.length = 0;
});

const body = () => api.requests.find(({ method }) => method === "POST")?.body;
const last = () => api.requests.at(-1);

/** A job whose script is over and whose VM stays. */
async function idle(name: string): Promise<ScriptedJob> {
  api.play = (job) => job.exit(0);
  await mags.run("x", { name, workspaceId: name, persistent: true, noSync: true });
  api.requests.length = 0;
  return api.jobs.at(-1) as ScriptedJob; // just made
}

const NEW_BODY = {
  ...{ script: "sleep infinity", type: "inline", persistent: true, name: "box", workspace_id: "box", no_sync: true },
  startup_command: "sleep infinity",
};

describe("mags new", () => {
  it("makes a sandbox with the endless sleep, waits until it runs, and says how to go on", async () => {
    api.play = (job) => {
      job.status.status = "pending";
      setImmediate(() => {
        job.status.status = "running";
      });
    };
    const { stdout, stderr, code } = await cli.run(["new", "box", "--disk", "5"], { env: { FORCE_COLOR: "1" } });
    const id = api.jobs[0]?.status.request_id;
    assert.deepEqual([stderr, code], ["", 0]);
    assert.equal(
      stdout.toString(),
      `\u001b[32mVM "box" created successfully (local disk)\u001b[39m\n  ID:  ${id}\n  SSH: mags ssh box\n` +
        "\u001b[90m  Its data is on local disk only, until mags stop; -p would persist it\u001b[39m\n",
    );
    assert.deepEqual(body(), { ...NEW_BODY, disk_gb: 5 });
  });

  it("leaves a disk that is no number out, and asks for sync with -p", async () => {
    api.play = () => {};
    const { stdout } = await cli.run(["new", "box", "-p", "--disk", "large", "--base", "golden"]);
    assert.match(stdout.toString(), /^VM "box" created successfully \(persistent\)\n/);
    assert.ok(!stdout.toString().includes("local disk"));
    const { no_sync: _, ...synced } = NEW_BODY;
    assert.deepEqual(body(), { ...synced, base_workspace_id: "golden" });
    assert.deepEqual(JSON.parse((await cli.run(["new", "two", "--json"])).stdout.toString()), {
      ...{ request_id: api.jobs[1]?.status.request_id, name: "two", status: "running" },
    });
  });

  it("fails with the job's own words, or with the server's", async () => {
    api.play = (job) => job.end({ status: "error", error_message: "no room" });
    const failed = await cli.run(["new", "box"]);
    assert.deepEqual([failed.code, failed.stderr], [1, "error: no room\n"]);
    api.play = (job) => job.end({ status: "error" });
    assert.equal((await cli.run(["new", "box"])).stderr, "error: Unknown error\n");
    api.intercept = (_, reply) => {
      send(reply, 400, { error: "workspace_id: not supported", code: "not_supported" });
      return true;
    };
    assert.match((await cli.run(["new", "box", "-p"])).stderr, /^error: workspace_id: not supported\n/);
  });
});

describe("mags run with a VM that stays", () => {
  it("sends what its options say", async () => {
    api.play = (job) => job.exit(0);
    const flags = [
      "-w",
      "dev",
      "-p",
      "--no-sync",
      "--no-sleep",
      "--idle",
      "5",
      "--startup-command",
      "serve",
      "--replace",
    ];
    await cli.run(["run", ...flags, "--base", "golden", "true"]);
    assert.deepEqual(body(), {
      ...{ script: "true", type: "inline", name: "dev", workspace_id: "dev", persistent: true, no_sync: true },
      ...{ no_sleep: true, idle_minutes: 5, startup_command: "serve", replace: true, base_workspace_id: "golden" },
    });
  });

  it("prints the output until the script is over, passes on its exit code, and says that the VM stays", async () => {
    const result = await cli.run(["run", "-p", "echo hi; exit 3"]);
    const { request_id: id, name } = api.jobs[0]?.status ?? {};
    assert.deepEqual([result.code, result.stdout.toString()], [3, "hi\n"]);
    assert.match(
      result.stderr,
      new RegExp(`Its VM stays. ID: ${id}\n.*mags exec ${name} <command>.*mags stop ${name}`),
    );
    assert.equal(api.jobs[0]?.status.status, "running");
    const summary = JSON.parse((await cli.run(["run", "-p", "echo hi", "--json"])).stdout.toString());
    assert.deepEqual([summary.status, summary.exit_code, summary.stdout], ["running", 0, "hi\n"]);
  });

  it("ends the script at Ctrl-C, leaves the VM, and says so", async () => {
    const running = cli.start(["run", "-p", "echo up; while :; do sleep 0.05; done"]);
    await until("the script to be up", () => running.stdout() === "up\n");
    running.child.kill("SIGINT");
    const result = await running.ended;
    const id = api.jobs[0]?.status.request_id;
    assert.match(
      result.stderr,
      new RegExp(`Ending the script of job ${id}.*Ended the script of job ${id}; its VM stays`, "s"),
    );
    assert.equal(result.code, 130);
    assert.equal(api.requests.find(({ path }) => path.endsWith("/stop"))?.query.get("script_only"), "1");
    assert.equal(api.jobs[0]?.status.status, "running");
  });
});

describe("commands about VMs that stay", () => {
  it("put them to sleep and wake them", async () => {
    const job = await idle("box");
    assert.equal((await cli.run(["sleep", "box"])).stdout.toString(), "box sleeps; wake it with: mags wake box\n");
    assert.deepEqual([last()?.method, last()?.path], ["POST", "/api/v1/mags-jobs/box/sleep"]);
    assert.equal(job.status.status, "sleeping");
    assert.equal((await cli.run(["wake", "box"])).stdout.toString(), "box runs\n");
    assert.equal(JSON.parse((await cli.run(["sleep", "box", "--json"])).stdout.toString()).status, "sleeping");
  });

  it("change when they sleep, their startup command, their labels", async () => {
    await idle("box");
    assert.equal((await cli.run(["set", "box", "--no-sleep"])).stdout.toString(), "box never sleeps by itself\n");
    assert.deepEqual([last()?.method, last()?.body], ["PATCH", { no_sleep: true }]);
    const set = await cli.run(["set", "box", "--sleep", "--idle", "3", "--startup-command", "", "--label", "a=b"]);
    assert.equal(set.stdout.toString(), "box sleeps when it was idle for 3 min\n");
    assert.deepEqual(last()?.body, { no_sleep: false, idle_minutes: 3, startup_command: "", labels: { a: "b" } });
  });

  it("refuse flags that contradict each other, or that need a VM that stays", async () => {
    for (const [flags, words] of [
      [["set", "box", "--sleep", "--no-sleep"], /--sleep and --no-sleep cannot be combined/],
      [["run", "--idle", "5", "true"], /--idle needs --persistent/],
      [["run", "--startup-command", "x", "true"], /--startup-command needs --persistent/],
    ] as const) {
      const { stderr } = await cli.run([...flags]);
      assert.match(stderr.toString(), words);
    }
    assert.equal(api.requests.length, 0);
  });

  it("pass on how to end what is in the way of a new one", async () => {
    const error = "workspace box already exists and is in use: end it first: mags stop box";
    api.intercept = (request, reply) => {
      if (request.method !== "POST") return false;
      send(reply, 409, { error, code: "workspace_in_use" });
      return true;
    };
    assert.equal((await cli.run(["new", "box"])).stderr, `error: ${error}\n`);
  });

  it("make the disk larger", async () => {
    await idle("box");
    assert.equal((await cli.run(["resize", "box", "--disk", "9"])).stdout.toString(), "box has a disk of 9 GB\n");
    assert.deepEqual([last()?.method, last()?.body], ["PATCH", { disk_gb: 9 }]);
  });

  it("show in the status how they sleep and what happened last", async () => {
    const job = await idle("box");
    job.status.last_transition = { name: "slept", reason: "idle", at: "2026-01-02T03:04:05.678Z" };
    const { stdout } = await cli.run(["status", "box"]);
    for (const line of [/^Workspace: +box$/m, /^Sleep: +when idle for 10 min$/m, /^Last change: +slept .*: idle$/m])
      assert.match(stdout.toString(), line);
  });

  it("show in the status how far the workspace is synced", async () => {
    const job = await idle("box");
    const last_synced_at = new Date().toISOString();
    const sync = { version: 7, last_synced_at, behind_bytes: 2048, failure: "no room", running: null };
    job.status.sync = sync;
    const text = async () => (await cli.run(["status", "box"])).stdout.toString();
    assert.match(await text(), /^Synced: +version 7, \d+s ago; 2.0 KiB behind; failed: no room$/m);
    job.status.sync = { version: null, last_synced_at: null, behind_bytes: 0, failure: null, running: null };
    assert.match(await text(), /^Synced: +not yet$/m);
    job.status.sync.running = { read_bytes: 3 << 20, total_bytes: 20 << 20, sent_bytes: 1 << 20 };
    assert.match(await text(), /^Synced: +not yet; publishing, 3.0 MiB of 20 MiB read, 1.0 MiB sent$/m);
  });

  it("stop it also where it cannot be synced", async () => {
    await idle("box");
    await cli.run(["stop", "--force", "box"]);
    assert.equal(last()?.query.get("force"), "1");
  });

  it("say what the server says of a sync", async () => {
    await idle("box");
    api.intercept = ({ path }, reply) => {
      if (!path.endsWith("/sync")) return false;
      send(reply, 400, { error: "workspace box is local", code: "validation_failed" });
      return true;
    };
    assert.equal((await cli.run(["sync", "box"])).stderr, "error: workspace box is local\n");
  });
});

describe("the SDK about VMs that stay", () => {
  it("new waits until it runs, and gives up with the job's words or in time", async () => {
    api.play = () => {};
    const { requestId, request_id, status } = await mags.new("box");
    assert.deepEqual([requestId, request_id, status], [api.jobs[0]?.status.request_id, requestId, "running"]);
    assert.deepEqual(body(), NEW_BODY);
    api.play = (job) => job.end({});
    await assert.rejects(mags.new("box"), (error) => error instanceof MagsError && error.code === "job_failed");
    api.play = (job) => {
      job.status.status = "pending";
    };
    const late = mags.new("box", { timeout: 60, pollInterval: 20 });
    await assert.rejects(late, (error) => error instanceof MagsError && error.code === "timeout");
    const caller = new AbortController();
    const waiting = mags.new("box", { signal: caller.signal });
    await until("the job", () => api.jobs.length === 4);
    caller.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
  });

  it("runAndWait ends with the script", async () => {
    const { exitCode, status, logs } = await mags.runAndWait("echo hi; exit 4", { persistent: true });
    assert.deepEqual([exitCode, status, logs[0]?.message], [4, "running", "hi"]);
  });

  it("resize grows the disk of one that lives, and makes one where none does", async () => {
    const job = await idle("box");
    assert.equal((await mags.resize("box", 7)).requestId, job.status.request_id);
    assert.deepEqual(last()?.body, { disk_gb: 7 });
    await mags.stop("box");
    api.play = () => {};
    await mags.resize("box", 8);
    const { no_sync: _, ...synced } = NEW_BODY;
    assert.deepEqual(api.jobs.at(-1)?.body, { ...synced, disk_gb: 8 });
  });

  it("stop can leave the VM, list can ask for a workspace", async () => {
    await idle("box");
    await mags.stop("box", { scriptOnly: true });
    assert.equal(last()?.query.toString(), "script_only=1");
    await mags.stop("box", { force: true });
    assert.equal(last()?.query.toString(), "force=1");
    await mags.list({ workspaceId: "box" });
    assert.equal(last()?.query.get("workspace_id"), "box");
  });
});
