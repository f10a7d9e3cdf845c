import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { JobId } from "@mags/domain";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { type Body, JOBS, KEPT, NEW, sandboxTests } from "./support/sandboxes.ts";

let server: TestServer;
let plane: TestPlane;
before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database());
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const { call, post, submit, statusOf, untilStatus, untilScriptOver, idle, newestSandbox, eventNames, untilEvent } =
  sandboxTests(() => plane);
const sandboxesOf = (...ids: JobId[]) => ids.map((id) => plane.node.startOf(id)?.sandbox?.id);

function isInUse(reply: { readonly status: number; readonly body: Body }): void {
  assert.deepEqual([reply.status, reply.body.code], [409, "workspace_in_use"], JSON.stringify(reply.body));
  for (const words of ["already exists", "in use"]) assert.ok(reply.body.error.includes(words), reply.body.error);
}

describe("a persistent job", () => {
  it("stays running when its script has ended, with its exit code, until it is stopped", async () => {
    const id = await submit({ persistent: true, script: "echo hi\nexit 3", idle_minutes: 7, startup_command: "serve" });
    const over = await untilScriptOver(id);
    assert.deepEqual([over.status, over.exit_code, over.persistent, over.idle_minutes], ["running", 3, true, 7]);
    assert.match(over.subdomain, /^[0-9a-f]{12}$/);
    assert.match(over.vm_id, /^vm-/);
    assert.equal(over.startup_command, "serve");
    assert.deepEqual(plane.node.policyOf(newestSandbox()), {
      ...{
        idle: { action: "sleep", afterMs: 420_000 },
        startupCommand: "serve",
        alwaysOn: false,
        egress: "filtered",
        syncTo: null,
      },
    });
    const reply = await call("POST", `${JOBS}/${id}/stop`);
    assert.deepEqual([reply.status, reply.body.success], [200, true]);
    const stopped = await statusOf(id);
    assert.deepEqual([stopped.status, stopped.exit_code, stopped.vm_id], ["completed", 3, undefined]);
    assert.deepEqual(plane.node.observeSandboxes(), []);
    assert.deepEqual((await eventNames(id)).slice(-3), ["script_ended", "stop_requested", "released"]);
  });

  it("ends in error, and leaves nothing, when it cannot start", async () => {
    plane.node.hold();
    const id = await submit({ ...KEPT("unstartable"), script: "hang" });
    plane.node.breakVm(id, "no such image");
    plane.node.release();
    assert.equal((await untilStatus(id, "error")).error_message, "no such image");
    await untilStatus(await submit({ workspace_id: "unstartable" }), "completed");
  });

  it("keeps its VM when its script fails otherwise than by its exit code", async () => {
    const id = await submit({ persistent: true, script: "fail the output could not be stored" });
    const over = await untilScriptOver(id);
    assert.deepEqual([over.status, over.exit_code], ["running", 137]);
    assert.match((await untilEvent(id, "script_lost")).message, /the output could not be stored/);
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("lets those who follow its log go when its script is over", async () => {
    const id = await submit({ persistent: true });
    const stream = plane.admin.events(`${JOBS}/${id}/logs?follow=1`);
    const seen: string[] = [];
    for await (const { event, data } of stream) {
      seen.push(event);
      if (event === "end") assert.deepEqual([JSON.parse(data).status, JSON.parse(data).exit_code], ["running", 0]);
    }
    assert.deepEqual(seen, ["log", "end"]);
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("can have its script alone ended", async () => {
    const id = await submit({ persistent: true, script: "hang" });
    await untilStatus(id, "running");
    assert.equal((await call("POST", `${JOBS}/${id}/stop?script_only=1`)).status, 200);
    const over = await statusOf(id);
    assert.deepEqual([over.status, over.exit_code], ["running", 143]);
    await call("POST", `${JOBS}/${id}/stop`);
    assert.equal((await statusOf(id)).exit_code, 143);
  });

  it("is stopped before it has a VM", async () => {
    plane.node.hold();
    const id = await submit({ ...KEPT("waits"), script: "hang" });
    assert.equal((await call("POST", `${JOBS}/${id}/stop`)).status, 200);
    plane.node.release();
    assert.equal((await statusOf(id)).status, "completed");
    const next = await submit({ ...KEPT("waits") });
    assert.equal((await untilScriptOver(next)).status, "running");
    await call("POST", `${JOBS}/waits/stop`);
  });
});

describe("a workspace without a persistent job", () => {
  it("stays warm after the job, and the next job runs in the same VM", async () => {
    const first = await submit({ workspace_id: "warm" });
    assert.equal((await untilStatus(first, "completed")).exit_code, 0);
    const [sandbox] = [newestSandbox()];
    assert.deepEqual(plane.node.policyOf(sandbox)?.idle, { action: "release", afterMs: 300_000 });
    const second = await submit({ workspace_id: "warm", script: "hang" });
    const running = await untilStatus(second, "running");
    assert.equal(running.workspace_id, "warm");
    assert.deepEqual(sandboxesOf(second), [sandbox]);
    const start = plane.node.startOf(second);
    assert.deepEqual([start?.keepsAwake, start?.sandbox?.exists], [true, true]);
    await call("POST", `${JOBS}/${second}/stop`);
    assert.ok(plane.node.observeSandboxes().some(({ sandboxId }) => sandboxId === sandbox));

    await plane.node.idle(sandbox);
    const released = await untilEvent(second, "released");
    assert.match(released.message, /removed: nobody used the workspace/);
    const third = await submit({ workspace_id: "warm" });
    await untilStatus(third, "completed");
    assert.notEqual(newestSandbox(), sandbox);
  });

  it("is released when it is stopped by its name, and not by the id of a job", async () => {
    const id = await submit({ workspace_id: "warm2" });
    await untilStatus(id, "completed");
    const before = plane.node.observeSandboxes().length;
    assert.equal((await call("POST", `${JOBS}/${id}/stop`)).status, 200);
    assert.equal(plane.node.observeSandboxes().length, before);
    assert.equal((await call("POST", `${JOBS}/warm2/stop`)).status, 200);
    assert.equal(plane.node.observeSandboxes().length, before - 1);
    assert.equal((await statusOf(id)).status, "completed");
    assert.equal((await call("POST", `${JOBS}/warm2/stop`)).status, 200);
  });

  it("is kept by a persistent job from then on", async () => {
    await untilStatus(await submit({ workspace_id: "kept" }), "completed");
    const sandbox = newestSandbox();
    const owner = await submit(KEPT("kept"));
    await untilScriptOver(owner);
    assert.deepEqual(sandboxesOf(owner), [undefined]);
    assert.equal(plane.node.policyOf(sandbox)?.idle.action, "sleep");
    await call("POST", `${JOBS}/kept/stop`);
  });

  it("is made anew when the node has let it go and that is not known yet", async () => {
    await untilStatus(await submit({ workspace_id: "vanished" }), "completed");
    plane.node.forgetSandbox(newestSandbox());
    assert.equal((await untilStatus(await submit({ workspace_id: "vanished" }), "completed")).exit_code, 0);
  });
});

describe("a job on a workspace in use", () => {
  it("takes over from a persistent job whose script is over, also asleep", async () => {
    const { id, sandbox } = await idle("heir", { script: "exit 4" });
    await call("POST", `${JOBS}/${id}/sleep`);
    const heir = await submit({ ...KEPT("heir"), script: "hang", idle_minutes: 1 });
    assert.equal((await untilStatus(heir, "running")).workspace_id, "heir");
    assert.deepEqual(sandboxesOf(heir), [sandbox]);
    const before = await statusOf(id);
    assert.deepEqual([before.status, before.exit_code], ["completed", 4]);
    assert.ok((await eventNames(id)).includes("taken_over"));
    assert.equal(plane.node.policyOf(sandbox)?.idle.afterMs, 60_000);
    const [one, two] = [await statusOf(heir), before];
    assert.equal(one.subdomain, two.subdomain);
    await call("POST", `${JOBS}/heir/stop`);
  });

  it("borrows the VM of a persistent job whose script is over, and leaves it", async () => {
    const { id, sandbox } = await idle("lender");
    const guest = await submit({ workspace_id: "lender", script: "exit 5" });
    assert.equal((await untilStatus(guest, "completed")).exit_code, 5);
    const owner = await statusOf(id);
    assert.deepEqual([owner.status, owner.exit_code], ["running", 0]);
    assert.equal(plane.node.policyOf(sandbox)?.idle.action, "sleep");
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("is refused while another script runs, however it came", async () => {
    await untilStatus(await submit({ ...KEPT("busy"), script: "hang" }), "running");
    for (const fields of [{ workspace_id: "busy" }, KEPT("busy"), NEW("busy")]) isInUse(await post(fields));
    await call("POST", `${JOBS}/busy/stop`);
    const first = await submit({ workspace_id: "busy", script: "hang" });
    for (const fields of [{ workspace_id: "busy" }, KEPT("busy"), NEW("busy")]) isInUse(await post(fields));
    assert.ok((await post({ workspace_id: "busy" })).body.error.includes(first));
    await call("POST", `${JOBS}/busy/stop`);
    await call("POST", `${JOBS}/busy/stop`);
  });

  it("takes the place of a script that runs with replace, in the same VM", async () => {
    const first = await submit({ ...KEPT("replaced"), script: "hang" });
    await untilStatus(first, "running");
    const sandbox = newestSandbox();
    const second = await submit({ workspace_id: "replaced", script: "hang", replace: true });
    await untilStatus(second, "running");
    const owner = await statusOf(first);
    assert.deepEqual([owner.status, owner.exit_code], ["running", 143]);
    assert.ok((await eventNames(first)).includes("replaced"));
    const third = await submit({ ...KEPT("replaced"), script: "hang", replace: true });
    await untilStatus(third, "running");
    assert.deepEqual(sandboxesOf(third), [sandbox]);
    assert.equal((await statusOf(second)).status, "completed");
    assert.equal((await statusOf(first)).status, "completed");
    await call("POST", `${JOBS}/replaced/stop`);
  });

  it("takes the place of one that has no VM yet with replace", async () => {
    plane.node.hold();
    const first = await submit({ ...KEPT("early"), script: "hang" });
    const second = await submit({ workspace_id: "early", script: "exit 6", replace: true });
    plane.node.release();
    assert.equal((await untilStatus(second, "completed")).exit_code, 6);
    assert.equal((await statusOf(first)).status, "completed");
    await call("POST", `${JOBS}/early/stop`);
  });

  it("runs beside the endless sleep of new, persistent or not, and ends alone", async () => {
    const made = await submit(NEW("dev"));
    await untilStatus(made, "running");
    const sandbox = newestSandbox();
    for (const fields of [{ workspace_id: "dev" }, KEPT("dev")]) {
      const beside = await submit({ ...fields, script: "exit 7" });
      assert.equal((await untilStatus(beside, "completed")).exit_code, 7);
    }
    const stopped = await submit({ workspace_id: "dev", name: "dev", script: "hang" });
    assert.deepEqual((await untilStatus(stopped, "running")).workspace_id, "dev");
    isInUse(await post({ workspace_id: "dev" }));
    isInUse(await post(NEW("dev")));
    assert.equal((await call("POST", `${JOBS}/dev/stop`)).status, 200);
    assert.equal((await statusOf(stopped)).status, "completed");
    assert.equal((await statusOf(made)).status, "running");
    isInUse(await post(NEW("dev")));
    assert.ok(plane.node.observeSandboxes().some(({ sandboxId }) => sandboxId === sandbox));
    await call("POST", `${JOBS}/dev/stop`);
    assert.equal((await statusOf(made)).status, "completed");
  });

  it("waits beside new until its VM is there, and ends with it when it never is", async () => {
    plane.node.hold();
    await submit(NEW("soon"));
    const beside = await submit({ workspace_id: "soon", script: "exit 8" });
    assert.equal((await statusOf(beside)).status, "pending");
    plane.node.release();
    assert.equal((await untilStatus(beside, "completed")).exit_code, 8);
    await call("POST", `${JOBS}/soon/stop`);

    plane.node.hold();
    const never = await submit(NEW("never"));
    const waits = await submit({ workspace_id: "never", script: "exit 8" });
    await call("POST", `${JOBS}/${never}/stop`);
    plane.node.release();
    assert.match((await untilStatus(waits, "error")).error_message, /stopped|removed/);
  });

  it("is refused when it asks for another kind of VM, and takes a larger disk along", async () => {
    const { id, sandbox } = await idle("size", { disk_gb: 4 });
    for (const [field, value] of [
      ["vcpus", 1],
      ["memory_mb", 2048],
    ] as const) {
      const reply = await post({ workspace_id: "size", [field]: value });
      isInUse(reply);
      assert.ok(reply.body.error.includes(field));
    }
    const larger = await submit({ workspace_id: "size", disk_gb: 9, vcpus: 2, egress: "none" });
    assert.equal((await untilStatus(larger, "completed")).disk_gb, 9);
    assert.equal(plane.node.observeSandboxes().find(({ sandboxId }) => sandboxId === sandbox)?.diskGiB, 9);
    assert.equal((await statusOf(id)).disk_gb, 9);
    const smaller = await post({ workspace_id: "size", disk_gb: 4 });
    assert.equal(smaller.status, 400);
    assert.match(smaller.body.error, /^disk_gb: the disk of workspace size has 9 GB .* at least 9/);
    const unnamed = await submit({ workspace_id: "size", disk_gb: 0 });
    assert.equal((await untilStatus(unnamed, "completed")).disk_gb, 9);
    assert.deepEqual((await statusOf(unnamed)).egress, "none");
    assert.equal(plane.node.policyOf(sandbox)?.egress, "none");
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("never makes two VMs of one workspace, however many come at once", async () => {
    const replies = await Promise.all(Array.from({ length: 12 }, () => post({ ...KEPT("race"), script: "hang" })));
    const accepted = replies.filter(({ status }) => status === 202);
    assert.equal(accepted.length, 1);
    for (const reply of replies) if (reply.status !== 202) isInUse(reply);
    await untilStatus(accepted[0]?.body.request_id, "running");
    await call("POST", `${JOBS}/race/stop`);
  });

  it("runs on when the job before is being stopped, in its VM or in a new one", async () => {
    const { id } = await idle("again");
    const [stopped, next] = await Promise.all([
      call("POST", `${JOBS}/${id}/stop`),
      submit({ ...KEPT("again"), script: "hang" }),
    ]);
    assert.equal(stopped.status, 200);
    await untilStatus(next, "running");
    assert.equal((await statusOf(id)).status, "completed");
    await call("POST", `${JOBS}/again/stop`);
    assert.equal((await statusOf(next)).status, "completed");
  });
});

describe("the name in a path", () => {
  it("means a live job of that name, then one of that workspace, then the newest of each", async () => {
    const named = await submit({ name: "x1", script: "hang" });
    const other = await submit({ name: "y", workspace_id: "x1", script: "hang" });
    for (const id of [named, other]) await untilStatus(id, "running");
    assert.equal((await statusOf("x1")).request_id, named);
    await call("POST", `${JOBS}/${named}/stop`);
    assert.equal((await statusOf("x1")).request_id, other);
    await call("POST", `${JOBS}/${other}/stop`);
    assert.equal((await statusOf("x1")).request_id, named);
    const list = (await call("GET", `${JOBS}?workspace_id=x1`)).body;
    assert.deepEqual([list.total, list.jobs[0].id], [1, other]);
  });
});
