import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { AppError } from "@mags/core";
import { NO_USAGE, newJobId, newSandboxId } from "@mags/domain";
import { createSimulatedNode, waitFor } from "@mags/test-kit";
import { sql } from "kysely";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { JOBS, KEPT, NEW, sandboxTests } from "./support/sandboxes.ts";

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

const { call, submit, statusOf, untilStatus, untilScriptOver, idle, newestSandbox, events, untilEvent } = sandboxTests(
  () => plane,
);

describe("sleep and wake", () => {
  it("are refused when the job is stopped meanwhile", async () => {
    const inner = createSimulatedNode();
    let meanwhile = async () => {};
    const node: typeof inner = {
      ...inner,
      async sleepSandbox(...asked) {
        await meanwhile();
        await inner.sleepSandbox(...asked);
      },
    };
    await using own = await startTestPlane(await server.database(), { node });
    const api = sandboxTests(() => own);
    const { id } = await api.idle("raced");
    meanwhile = async () => void (await api.call("POST", `${JOBS}/${id}/stop`));
    const reply = await api.call("POST", `${JOBS}/${id}/sleep`);
    assert.deepEqual([reply.status, reply.body.code], [409, "job_not_running"]);
    assert.match(reply.body.error, /not running: it has ended/);
  });

  it("are told with their reasons, and answer with the status", async () => {
    const { id, sandbox } = await idle("naps");
    const asleep = await call("POST", `${JOBS}/naps/sleep`);
    assert.deepEqual([asleep.status, asleep.body.status, asleep.body.vm_id], [200, "sleeping", undefined]);
    assert.deepEqual([asleep.body.last_transition.name, asleep.body.last_transition.reason], ["slept", "requested"]);
    assert.equal((await call("POST", `${JOBS}/naps/sleep`)).status, 200);
    const awake = await call("POST", `${JOBS}/${id}/wake`);
    assert.deepEqual([awake.status, awake.body.status], [200, "running"]);
    assert.match(awake.body.vm_id, /^vm-/);
    assert.equal((await call("POST", `${JOBS}/${id}/wake`)).body.vm_id, awake.body.vm_id);
    await plane.node.idle(sandbox);
    await untilStatus(id, "sleeping");
    const told = (await events(id)).filter(({ name }) => name === "slept" || name === "woke");
    assert.deepEqual(
      told.map(({ message }) => message),
      [
        "VM went to sleep: as requested",
        "VM woke with its memory: as requested",
        "VM went to sleep: nothing was done in it for a while",
      ],
    );
    await call("POST", `${JOBS}/naps/stop`);
    const stopped = await statusOf(id);
    assert.deepEqual([stopped.status, stopped.exit_code], ["completed", 0]);
  });

  it("happen by themselves for a command, once for many", async () => {
    const { id, sandbox } = await idle("woken");
    await call("POST", `${JOBS}/${id}/sleep`);
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => call("POST", `${JOBS}/woken/exec`, { command: "true" })),
    );
    for (const reply of replies) assert.equal(reply.status, 200);
    assert.equal((await untilStatus(id, "running")).last_transition.reason, "exec");
    assert.equal(plane.node.wakes(sandbox), 1);
    await call("POST", `${JOBS}/${id}/stop`);
    const refused = await call("POST", `${JOBS}/${id}/exec`, { command: "true" });
    assert.deepEqual([refused.status, refused.body.code], [409, "job_not_running"]);
  });

  it("are not for jobs whose VM does not stay, has not come, or is gone", async () => {
    const plain = await submit({ script: "hang" });
    await untilStatus(plain, "running");
    plane.node.hold();
    const early = await submit({ ...KEPT("early"), script: "hang" });
    for (const what of ["sleep", "wake"]) {
      const refused = await call("POST", `${JOBS}/${plain}/${what}`);
      assert.deepEqual([refused.status, refused.body.code], [400, "validation_failed"]);
      assert.deepEqual((await call("POST", `${JOBS}/${early}/${what}`)).body.code, "no_vm");
    }
    for (const id of [plain, early]) await call("POST", `${JOBS}/${id}/stop`);
    plane.node.release();
    for (const what of ["sleep", "wake"])
      assert.equal((await call("POST", `${JOBS}/${early}/${what}`)).body.code, "job_not_running");
    assert.equal((await call("POST", `${JOBS}/nobody/sleep`)).status, 404);
  });

  it("mean the VM when a script that runs beside has its name", async () => {
    const made = await submit(NEW("both"));
    await untilStatus(made, "running");
    const beside = await submit({ name: "both", workspace_id: "both", script: "hang" });
    await untilStatus(beside, "running");
    assert.equal((await call("POST", `${JOBS}/both/sleep`)).body.request_id, made);
    assert.equal((await statusOf(beside)).status, "sleeping");
    assert.equal((await call("POST", `${JOBS}/${beside}/sleep`)).status, 400);
    await call("POST", `${JOBS}/${made}/stop`);
    assert.equal((await statusOf(made)).status, "completed");
    await untilStatus(beside, "completed");
  });

  it("are refused for a sync, as nothing is synced", async () => {
    const { id } = await idle("local");
    const refused = await call("POST", `${JOBS}/local/sync`);
    assert.equal(refused.status, 400);
    assert.match(refused.body.error, /workspace local is local/);
    const plain = await submit({});
    assert.match((await call("POST", `${JOBS}/${plain}/sync`)).body.error, /has no workspace/);
    await call("POST", `${JOBS}/${id}/stop`);
  });
});

describe("a VM that is lost", () => {
  it("leaves its job asleep with its disk, and the next use starts it again", async () => {
    const { id, sandbox } = await idle("lost");
    plane.node.loseVm(sandbox, "QEMU was killed");
    const asleep = await untilStatus(id, "sleeping");
    assert.deepEqual([asleep.last_transition.name, asleep.last_transition.reason], ["vm_lost", "QEMU was killed"]);
    assert.match((await untilEvent(id, "vm_lost")).message, /QEMU was killed; its disk is kept/);
    assert.equal((await call("POST", `${JOBS}/${id}/exec`, { command: "true" })).status, 200);
    await untilStatus(id, "running");
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("ends the script in it, as killed for its owner, in error for another", async () => {
    const made = await submit(NEW("fragile"));
    await untilStatus(made, "running");
    const beside = await submit({ workspace_id: "fragile", script: "hang" });
    await untilStatus(beside, "running");
    plane.node.loseVm(newestSandbox(), "the guest panicked");
    await untilStatus(made, "sleeping");
    assert.equal((await untilScriptOver(made)).exit_code, 137);
    assert.match((await untilEvent(made, "script_lost")).message, /the guest panicked/);
    assert.equal((await untilStatus(beside, "error")).error_message, "the guest panicked");
    await call("POST", `${JOBS}/${made}/stop`);
  });

  it("comes back at once when it is never to sleep", async () => {
    const { id, sandbox } = await idle("always", { no_sleep: true });
    const before = await statusOf(id);
    plane.node.loseVm(sandbox, "QEMU was killed");
    await untilEvent(id, "woke");
    const back = await untilStatus(id, "running");
    assert.notEqual(back.vm_id, before.vm_id);
    assert.match((await untilEvent(id, "woke")).message, /from its disk, without its memory: it is never to sleep/);
    await call("POST", `${JOBS}/${id}/stop`);
  });
});

describe("PATCH", () => {
  const patch = (id: string, body: unknown) => call("PATCH", `${JOBS}/${id}`, body);

  it("changes what was submitted, and the node goes by it", async () => {
    const { id, sandbox } = await idle("changed");
    const changed = await patch("changed", {
      ...{ startup_command: "serve", idle_minutes: 3, labels: { a: "b" }, no_sleep: true },
    });
    assert.equal(changed.status, 200);
    const { success, startup_command, idle_minutes, labels, no_sleep, request_id } = changed.body;
    assert.deepEqual([success, startup_command, idle_minutes, labels, no_sleep], [true, "serve", 3, { a: "b" }, true]);
    assert.equal(request_id, id);
    assert.deepEqual(plane.node.policyOf(sandbox), {
      ...{ idle: { action: "none", afterMs: 180_000 }, startupCommand: "serve", alwaysOn: true, egress: "filtered" },
      syncTo: null,
    });
    assert.equal((await patch(id, { startup_command: "", no_sleep: false })).body.startup_command, undefined);
    assert.deepEqual(plane.node.policyOf(sandbox), {
      ...{ idle: { action: "sleep", afterMs: 180_000 }, startupCommand: null, alwaysOn: false, egress: "filtered" },
      syncTo: null,
    });
    await call("POST", `${JOBS}/${id}/stop`);
    assert.deepEqual((await patch(id, { labels: {} })).body.labels, {});
    assert.deepEqual((await patch(id, { no_sleep: true })).body.code, "job_not_running");
  });

  it("wakes a VM that is never to sleep again", async () => {
    const { id } = await idle("riser");
    await call("POST", `${JOBS}/${id}/sleep`);
    const woken = await patch(id, { no_sleep: true });
    assert.deepEqual([woken.body.status, woken.body.last_transition.reason], ["running", "no_sleep"]);
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("makes the disk larger, awake or asleep, and never smaller", async () => {
    const { id, sandbox } = await idle("grows");
    const diskOf = () => plane.node.observeSandboxes().find(({ sandboxId }) => sandboxId === sandbox)?.diskGiB;
    assert.equal((await patch(id, { disk_gb: 5 })).body.disk_gb, 5);
    await call("POST", `${JOBS}/${id}/sleep`);
    assert.equal((await patch(id, { disk_gb: 7 })).body.disk_gb, 7);
    assert.equal(diskOf(), 7);
    assert.equal((await statusOf(id)).status, "sleeping");
    const refused = await patch(id, { disk_gb: 6 });
    assert.equal(refused.status, 400);
    assert.match(refused.body.error, /^disk_gb: .*7 GB and cannot be made smaller/);
    assert.match((await patch(id, { disk_gb: 65 })).body.error, /^disk_gb: .*at most 64/);
    assert.equal((await patch(id, { disk_gb: 7 })).status, 200);
    await call("POST", `${JOBS}/${id}/stop`);
  });

  it("refuses what changes nothing, and what a job without a VM that stays does not have", async () => {
    const plain = await submit({ script: "hang" });
    assert.match((await patch(plain, {})).body.error, /changes nothing/);
    for (const body of [{ no_sleep: true }, { idle_minutes: 1 }, { startup_command: "x" }, { disk_gb: 9 }]) {
      const refused = await patch(plain, body);
      assert.deepEqual([refused.status, refused.body.code], [400, "validation_failed"]);
    }
    assert.equal((await patch(plain, { labels: { x: "y" } })).status, 200);
    await call("POST", `${JOBS}/${plain}/stop`);
  });
});

describe("accounts", () => {
  it("count a VM that stays once, asleep or awake, until it is released", async () => {
    const limits = {
      ...{ account: { ...NO_USAGE, vms: 1, diskGiB: 6 }, queuedPerAccount: 0, queued: 0, queueMs: 600_000 },
    };
    await using own = await startTestPlane(await server.database(), { limits });
    const api = sandboxTests(() => own);
    const { id } = await api.idle("one");
    await api.call("POST", `${JOBS}/${id}/sleep`);
    const beside = await api.submit({ workspace_id: "one" });
    await api.untilStatus(beside, "completed");
    const waits = await api.submit({});
    await api.untilEvent(waits, "waiting");
    assert.equal((await api.call("PATCH", `${JOBS}/${id}`, { disk_gb: 6 })).status, 200);
    const atOnce = [1, 2].map(() => api.call("PATCH", `${JOBS}/${id}`, { disk_gb: 7 }));
    for (const { body } of [...(await Promise.all(atOnce)), await api.post({ workspace_id: "one", disk_gb: 7 })])
      assert.match(body.error, /^disk_gb: .*6 of at most 6/);
    await api.call("POST", `${JOBS}/${id}/stop`);
    await api.untilStatus(waits, "completed");
    const warm = await api.submit({ workspace_id: "two" });
    await api.untilStatus(warm, "completed");
    const next = await api.submit({});
    await api.untilEvent(next, "waiting");
    await own.node.idle(api.newestSandbox());
    await api.untilStatus(next, "completed");
  });

  it("pay for the time in which a VM was awake", async () => {
    const { client } = await plane.addUser();
    const api = sandboxTests(
      () => plane,
      () => client,
    );
    const { id } = await api.idle("paid");
    await api.call("POST", `${JOBS}/${id}/sleep`);
    const hour = (n: number) => new Date(Date.now() - n * 3_600_000);
    await plane.database.run((db) =>
      sql`update awake_periods set began_at = ${hour(5)}, ended_at = ${hour(3)}
        where sandbox_id = (select sandbox_id from jobs where id = ${id})`.execute(db),
    );
    await plane.database.run((db) => sql`update jobs set started_at = ${hour(5)} where id = ${id}`.execute(db));
    const usage = (await api.call("GET", `${JOBS}/usage`)).body;
    assert.equal(Math.round(usage.vm_seconds), 7_200);
    await api.call("POST", `${JOBS}/${id}/stop`);
  });

  it("do not share workspaces", async () => {
    const { client } = await plane.addUser();
    const api = sandboxTests(
      () => plane,
      () => client,
    );
    const mine = await submit({ ...KEPT("shared"), script: "hang" });
    await untilStatus(mine, "running");
    const theirs = await api.submit({ ...KEPT("shared"), script: "hang" });
    await api.untilStatus(theirs, "running");
    assert.equal((await api.statusOf("shared")).request_id, theirs);
    for (const call of [api.call, sandboxTests(() => plane).call]) await call("POST", `${JOBS}/shared/stop`);
  });
});

describe("a restart", () => {
  it("finds sandboxes as they are, finishes what was begun, and removes what nobody owns", async () => {
    const address = await server.database();
    const node = createSimulatedNode();
    const ids: Record<string, string> = {};
    {
      await using first = await startTestPlane(address, { node });
      const api = sandboxTests(() => first);
      for (const name of ["slept", "woke", "gone", "stopping", "waiting", "grown", "scriptless", "policy"])
        ids[name] = (await api.idle(name)).id;
      await api.call("POST", `${JOBS}/woke/sleep`);
      await api.idle("sleepless", { no_sleep: true });
      ids.running = await api.submit({ ...KEPT("running"), script: "hang" });
      await api.untilStatus(ids.running, "running");
    }
    // The control plane is gone: what happens now, nobody hears.
    const sandboxOf = new Map<string, string>();
    await using second = await startTestPlane(address, {
      node,
      prepare: async (database) => {
        const { rows } = await database.run((db) =>
          sql<{ name: string; sandbox_id: string }>`select name, sandbox_id from jobs`.execute(db),
        );
        for (const { name, sandbox_id } of rows) sandboxOf.set(name, sandbox_id);
        const id = (name: string) => sandboxOf.get(name) as never;
        await node.sleepSandbox(id("slept"), { reason: "idle" });
        await node.sleepSandbox(id("sleepless"), { reason: "requested" });
        await node.wakeSandbox(id("woke"), { reason: "exec", signal: new AbortController().signal });
        node.forgetSandbox(id("gone"));
        await node.growSandbox(id("grown"), { diskGiB: 11 });
        node.loseVm(id("running"), "QEMU was killed");
        await database.run((db) =>
          sql`update sandboxes set release_requested_at = now() where id = ${id("stopping")}`.execute(db),
        );
        await database.run((db) =>
          sql`update jobs set stop_requested_at = now() where id = ${ids.stopping}`.execute(db),
        );
        await database.run((db) => sql`update jobs set idle_minutes = 99 where id = ${ids.policy}`.execute(db));
        // Accepted, and not handed over.
        await database.run((db) =>
          sql`insert into jobs (id, account_id, name, status, command_kind, script, environment, image, vcpus,
              memory_mib, disk_gib, egress, labels, no_sync, workspace_id, sandbox_id, created_at)
            select gen_random_uuid(), account_id, 'beside', 'pending', 'inline', 'exit 9', '{}', image, vcpus,
              memory_mib, disk_gib, egress, '{}', true, 'waiting', sandbox_id, now()
            from jobs where id = ${ids.waiting}`.execute(db),
        );
        // Its script runs in the books, and the node knows nothing of it.
        await database.run((db) =>
          sql`update jobs set script_ended_at = null, exit_code = null where id = ${ids.scriptless}`.execute(db),
        );
      },
    });
    const api = sandboxTests(() => second);
    assert.equal((await api.statusOf("slept")).status, "sleeping");
    assert.equal((await api.statusOf("slept")).last_transition.reason, "found");
    assert.equal((await api.statusOf("woke")).status, "running");
    assert.match((await api.statusOf("gone")).error_message, /lost: the node has neither/);
    await api.untilStatus(ids.stopping ?? "", "completed");
    assert.equal((await api.untilStatus("beside", "completed")).exit_code, 9);
    assert.equal((await api.statusOf("grown")).disk_gb, 11);
    assert.equal((await api.statusOf("scriptless")).exit_code, 137);
    const lost = await api.untilScriptOver("running");
    assert.deepEqual([lost.status, lost.exit_code], ["sleeping", 137]);
    assert.deepEqual([lost.last_transition.name, lost.last_transition.reason], ["vm_lost", "QEMU was killed"]);
    await api.untilStatus("sleepless", "running");
    assert.equal((await api.statusOf("sleepless")).last_transition.reason, "no_sleep");
    assert.equal(node.policyOf(sandboxOf.get("policy") as never)?.idle.afterMs, 99 * 60_000);
    await waitFor(() => !node.observeSandboxes().some(({ sandboxId }) => sandboxId === sandboxOf.get("stopping")), {
      what: "the stopped one to be released",
    });

    // Gone from the books: its row has ended, or there is none.
    await second.database.run((db) =>
      sql`update sandboxes set ended_at = now(), state = 'gone' where id = ${sandboxOf.get("policy")}`.execute(db),
    );
    second.plane.nudge();
    await waitFor(() => !node.observeSandboxes().some(({ sandboxId }) => sandboxId === sandboxOf.get("policy")), {
      what: "the ended one to be released",
    });
    // There is no row.
    const sandbox = {
      ...{ id: newSandboxId(), exists: false, startupCommand: null, alwaysOn: false, egress: "filtered" as const },
      idle: { action: "none" as const, afterMs: 1 },
      ...{ from: null, syncTo: null },
    };
    node.start({
      ...{ jobId: newJobId(), command: { kind: "inline", script: "hang" }, environment: {}, timeoutMs: null },
      size: { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 2, egress: "filtered" },
      ...{ sandbox, keepsAwake: false, fileIds: [] },
    });
    const stranger = () => node.observeSandboxes().find(({ sandboxId }) => sandboxId === sandbox.id);
    await waitFor(() => stranger()?.state === "running", { what: "the unknown one to run" });
    second.plane.nudge();
    await waitFor(() => stranger()?.state === "sleeping", { what: "the unknown one to sleep" });
    assert.deepEqual(await second.plane.unknownSandboxes([sandbox.id, sandboxOf.get("grown") ?? ""]), [sandbox.id]);
  });

  it("keeps jobs that wait for the VM of their workspace waiting, and then runs them", async () => {
    const address = await server.database();
    const node = createSimulatedNode();
    node.hold();
    {
      await using first = await startTestPlane(address, { node });
      const api = sandboxTests(() => first);
      await api.submit(NEW("late"));
      await api.submit({ name: "beside", workspace_id: "late", script: "exit 9" });
    }
    await using second = await startTestPlane(address, { node });
    const api = sandboxTests(() => second);
    assert.equal((await api.statusOf("beside")).status, "pending");
    node.release();
    assert.equal((await api.untilStatus("beside", "completed")).exit_code, 9);
  });
});

describe("the end of all jobs", () => {
  it("puts VMs that stay to sleep, with their scripts", async () => {
    await using own = await startTestPlane(await server.database());
    const api = sandboxTests(() => own);
    const kept = await api.submit({ ...KEPT("kept"), script: "hang" });
    const plain = await api.submit({ script: "hang" });
    for (const id of [kept, plain]) await api.untilStatus(id, "running");
    const warm = await api.submit({ workspace_id: "warm" });
    await api.untilStatus(warm, "completed");
    const warmSandbox = api.newestSandbox();
    await own.plane.endAllJobs();
    assert.equal((await api.statusOf(kept)).status, "sleeping");
    assert.ok(!own.node.observeSandboxes().some(({ sandboxId }) => sandboxId === warmSandbox));
    await api.untilStatus(plain, "completed");
  });

  it("ends calls that keep a VM from sleeping", async () => {
    const ended = Promise.withResolvers<void>();
    const node = createSimulatedNode({
      exec: (_request, signal) =>
        new Promise((_resolve, reject) => {
          const abort = () => {
            ended.resolve();
            reject(signal.reason);
          };
          signal.addEventListener("abort", abort);
        }),
    });
    let isBusy = true;
    void ended.promise.then(() => {
      isBusy = false;
    });
    const sleepSandbox: typeof node.sleepSandbox = async (...asked) => {
      if (isBusy) throw new AppError("sandbox_busy", "a call is under way");
      await node.sleepSandbox(...asked);
    };
    await using own = await startTestPlane(await server.database(), { node: { ...node, sleepSandbox } });
    const api = sandboxTests(() => own);
    const { id } = await api.idle("busy");
    const command = api.call("POST", `${JOBS}/${id}/exec`, { command: "sleep infinity" }).catch(() => {});
    await own.plane.endAllJobs();
    assert.equal((await api.statusOf(id)).status, "sleeping");
    await command;
  });
});
