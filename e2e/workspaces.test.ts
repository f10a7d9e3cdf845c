import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { type JobStatus, startServer, type TestServer } from "./harness/server.ts";

const WARM_SECONDS = 8;

let server: TestServer;
before(async () => {
  server = await startServer({ config: { workspaces: { warm_seconds: WARM_SECONDS } } });
});
after(() => server[Symbol.asyncDispose]());

const call = (method: string, path: string, body?: unknown) =>
  server.api.call(method, `/api/v1/mags-jobs/${path}`, body);

async function eventNames(id: string): Promise<string[]> {
  const { body } = await call("GET", `${id}/events`);
  return (body as { events: { name: string }[] }).events.map(({ name }) => name);
}

async function untilStatus(id: string, isSo: (status: JobStatus) => boolean, what: string): Promise<JobStatus> {
  return waitFor(async () => [await server.status(id)].find(isSo), { what: `${id} to be ${what}`, deadlineMs: 60_000 });
}

/** Runs a command line that must succeed. */
async function mags(...args: string[]): Promise<string> {
  const { exitCode, text, errors } = await server.mags(args);
  assert.equal(exitCode, 0, `mags ${args.join(" ")}: ${text}${errors}`);
  return text;
}

describe("a workspace", () => {
  it("finds the files of the job before in a warm VM, which then goes, and the events say so", async () => {
    await mags("run", "-w", "site", "echo one > /root/file; echo two > /etc/marker");
    assert.equal(await mags("run", "-w", "site", "cat /root/file /etc/marker"), "one\ntwo\n");
    const { request_id: id } = await server.status("site");
    await waitFor(async () => (await eventNames(id)).includes("released"), {
      what: "the warm VM to go",
      deadlineMs: 60_000,
    });
    assert.equal((await server.mags(["run", "-w", "site", "cat /root/file"])).exitCode, 1);
  });

  it("runs one script at a time, and another in its place when that is wished", async () => {
    const first = await server.submit({ workspace_id: "busy", script: "echo $$ > /tmp/pid; exec sleep 1000" });
    await server.running(first);
    const refused = await server.mags(["run", "-w", "busy", "true"]);
    assert.equal(refused.exitCode, 1);
    for (const words of ["already exists", "in use", "mags stop busy", "--replace"])
      assert.ok(refused.errors.includes(words), refused.errors);
    const gone = "kill -0 $(cat /tmp/pid) 2> /dev/null || echo gone";
    assert.equal(await mags("run", "-w", "busy", "--replace", gone), "gone\n");
    assert.equal((await server.ended(first)).exit_code, 143);
    await mags("stop", "busy");
  });
});

describe("a VM that stays", () => {
  it("is made by new, takes scripts beside, sleeps with what runs in it, wakes for a command, and grows", async () => {
    assert.match(await mags("new", "dev"), /^VM "dev" created successfully \(local disk\)\n {2}ID: {2}\S+\n/);
    await mags(
      "run",
      "-w",
      "dev",
      "setsid sh -c 'i=0; while :; do echo $((i += 1)) > /root/n; sleep 0.2; done' > /dev/null 2>&1 & sleep 1",
    );
    const count = async () => Number(await mags("exec", "dev", "sleep 1; cat /root/n"));
    const before = await count();
    await mags("sleep", "dev");
    const asleep = await server.status("dev");
    assert.deepEqual([asleep.status, asleep.vm_id], ["sleeping", undefined]);
    assert.ok((await count()) > before);
    await mags("resize", "dev", "--disk", "4");
    assert.ok(Number(await mags("exec", "dev", "df -k --output=size / | tail -1")) > 3.5e6);
    await mags("set", "dev", "--no-sleep");
    assert.match(await mags("status", "dev"), /Sleep: +never by itself\nLast change: +woke .*: exec\n/);
    await mags("stop", "dev");
    assert.equal((await server.status("dev")).status, "completed");
    assert.equal((await server.mags(["exec", "dev", "true"])).exitCode, 1);
  });

  it("keeps its exit code when its script has ended, and outlives kills of the server, asleep and awake", async () => {
    const { exitCode, errors } = await server.mags(["run", "-p", "echo kept > /root/kept; exit 5"]);
    assert.equal(exitCode, 5);
    const id = /ID: (\S+)/.exec(errors)?.[1] ?? "";
    await server.kill();
    await server.start();
    assert.deepEqual([(await server.status(id)).status, (await server.status(id)).exit_code], ["running", 5]);
    assert.equal(await mags("exec", id, "cat /root/kept"), "kept\n");

    const sleeping = server.mags(["sleep", id]);
    await waitFor(async () => (await eventNames(id)).length > 0, { what: "the request" });
    await server.kill();
    await sleeping;
    await server.start();
    assert.equal(await mags("exec", id, "cat /root/kept"), "kept\n");

    await mags("sleep", id);
    await server.kill();
    await server.start();
    assert.equal((await server.status(id)).status, "sleeping");
    assert.equal(await mags("exec", id, "cat /root/kept"), "kept\n");
    await untilStatus(id, ({ status }) => status === "running", "awake");
    const stopping = server.mags(["stop", id]);
    await waitFor(async () => (await eventNames(id)).includes("stop_requested"), { what: "the stop" });
    await server.kill();
    await stopping;
    await server.start();
    await untilStatus(id, ({ status }) => status === "completed", "completed");
    const leaks = await server.magsd("doctor", "--leaks");
    assert.equal(leaks.exitCode, 0, leaks.text);
  });

  it("that is lost sleeps with its disk, and runs its startup command when it wakes", async () => {
    const body = { persistent: true, script: "echo data > /root/data; sync", startup_command: "echo up > /root/up" };
    const id = await server.submit(body);
    const { vm_id } = await untilStatus(id, ({ exit_code }) => exit_code === 0, "over");
    process.kill(await server.qemuPid(vm_id ?? ""), "SIGKILL");
    await untilStatus(id, ({ status }) => status === "sleeping", "asleep");
    assert.ok((await eventNames(id)).includes("vm_lost"));
    assert.equal(
      await mags("exec", id, "cat /root/data; while [ ! -e /root/up ]; do sleep 0.1; done; cat /root/up"),
      "data\nup\n",
    );
    await mags("stop", id);
  });
});
