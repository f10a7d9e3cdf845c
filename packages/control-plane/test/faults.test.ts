import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { type JobId, newJobId } from "@mags/domain";
import { type ApiClient, collectAll, createSimulatedNode, waitFor } from "@mags/test-kit";
import { planJob } from "../src/app/new-job.ts";
import { createJobStore } from "../src/sql/job-store.ts";
import { startControlPlane } from "../src/start-control-plane.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane } from "./support/plane.ts";

const JOBS = "/api/v1/mags-jobs";

interface Status {
  readonly status: string;
  readonly exit_code?: number;
  readonly error_message?: string;
}

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

async function submit(client: ApiClient, script: string, name?: string): Promise<JobId> {
  const reply = await client.call("POST", JOBS, { script, type: "inline", ...(name !== undefined && { name }) });
  assert.equal(reply.status, 202, JSON.stringify(reply.body));
  return (reply.body as { request_id: JobId }).request_id;
}

async function statusOf(client: ApiClient, id: string): Promise<Status> {
  return (await client.call("GET", `${JOBS}/${id}/status`)).body as Status;
}

async function untilEnded(client: ApiClient, id: string): Promise<Status> {
  return waitFor(
    async () => {
      const status = await statusOf(client, id);
      return (status.status === "completed" || status.status === "error") && status;
    },
    { what: `job ${id} to end` },
  );
}

describe("a database that is killed under load", () => {
  it("comes back by itself, and no acknowledged job or report is lost", async () => {
    await using test = await startTestPlane(await server.database());
    const accepted: JobId[] = [];
    const refused: number[] = [];
    let submitting = true;
    const load = Array.from({ length: 8 }, async () => {
      while (submitting) {
        const reply = await test.admin.call("POST", JOBS, { script: "echo hi\nexit 5", type: "inline" });
        if (reply.status === 202) accepted.push((reply.body as { request_id: JobId }).request_id);
        else refused.push(reply.status);
      }
    });
    for (let round = 0; round < 2; round++) {
      const target = accepted.length + 20;
      await waitFor(() => accepted.length >= target && server.up(), { what: "load on the database" });
      process.kill(server.pid(), "SIGKILL");
    }
    const target = accepted.length + 20;
    await waitFor(() => accepted.length >= target, { what: "jobs to be accepted again" });
    submitting = false;
    await Promise.all(load);
    assert.ok(
      refused.every((status) => status === 503),
      `unexpected statuses ${refused}`,
    );
    for (const id of accepted) assert.equal((await untilEnded(test.admin, id)).exit_code, 5, id);
    await waitFor(() => test.node.observe().length === 0, { what: "the node to be told of all ends" });
    const started = new Set(test.node.startCalls);
    assert.ok(accepted.every((id) => started.has(id)));
  });

  it("keeps a follower waiting for the end that could not be stored yet", async () => {
    await using test = await startTestPlane(await server.database());
    const id = await submit(test.admin, "echo a\nhang");
    await waitFor(() => test.node.observe()[0]?.state === "running", { what: "the job to run" });
    const following = collectAll(test.admin.events(`${JOBS}/${id}/logs?follow=1`));
    await waitFor(() => server.up(), { what: "the database" });
    process.kill(server.pid(), "SIGKILL");
    await test.node.stop(id);
    const end = (await following).at(-1);
    assert.equal(end?.event, "end");
    assert.equal(JSON.parse(end?.data ?? "").exit_code, 143);
  });

  it("shows readiness as it is", async () => {
    const node = createSimulatedNode();
    let ill = false;
    await using test = await startTestPlane(await server.database());
    await using plane = await startControlPlane(
      {
        database: test.database,
        node,
        uploads: test.uploads,
        sealing: test.sealing,
        clock: systemClock,
        log: silentLogger,
        readiness: [
          {
            name: "node",
            async check() {
              if (ill) throw new Error("the template is being built");
            },
          },
        ],
      },
      {},
    );
    const url = await plane.listen({ host: "127.0.0.1", port: 0 });
    assert.equal((await fetch(`${url}/readyz`)).status, 200);
    ill = true;
    const reply = await fetch(`${url}/readyz`);
    assert.equal(reply.status, 503);
    assert.deepEqual(await reply.json(), {
      ready: false,
      checks: { database: "ok", node: "the template is being built" },
    });
  });
});

describe("a control plane that ends all jobs", () => {
  it("lets none run on that was accepted meanwhile, shows their ends, and refuses later ones", async () => {
    await using test = await startTestPlane(await server.database());
    const first = await submit(test.admin, "echo a\nhang");
    await waitFor(() => test.node.observe()[0]?.state === "running", { what: "the job to run" });
    const following = collectAll(test.admin.events(`${JOBS}/${first}/logs?follow=1`));
    const body = { script: "hang", type: "inline" };
    const submits = Array.from({ length: 20 }, () => test.admin.call("POST", JOBS, body));
    await Promise.race(submits);
    await test.plane.endAllJobs();
    assert.deepEqual(
      test.node.observe().filter(({ state }) => state !== "ended"),
      [],
    );
    assert.equal((await test.admin.call("POST", JOBS, body)).status, 503);
    for (const reply of await Promise.all(submits)) {
      assert.ok(reply.status === 202 || reply.status === 503, JSON.stringify(reply.body));
      if (reply.status === 202) await untilEnded(test.admin, (reply.body as { request_id: string }).request_id);
    }
    assert.equal((await following).at(-1)?.event, "end");
  });
});

describe("a control plane that starts anew", () => {
  it("brings jobs in every state to where they belong", async () => {
    const address = await server.database();
    const node = createSimulatedNode();
    const ids: Record<string, JobId> = {};
    {
      await using first = await startTestPlane(address, { node });
      for (const name of ["running", "lost", "ended", "stopping"])
        ids[name] = await submit(first.admin, "echo x\nhang", name);
      ids.acknowledged = await submit(first.admin, "exit 4");
      await untilEnded(first.admin, ids.acknowledged);
      await waitFor(async () => (await statusOf(first.admin, "stopping")).status === "running", {
        what: "jobs to run",
      });
      node.hold();
      for (const name of ["queued", "unknown", "unknownStopped"]) ids[name] = await submit(first.admin, "exit 6", name);
    }
    // The control plane is gone: what happens now, nobody hears.
    const { running, lost, ended, stopping, queued, unknown, unknownStopped } = ids as Record<string, JobId> & {
      readonly [K in "running" | "lost" | "ended" | "stopping" | "queued" | "unknown" | "unknownStopped"]: JobId;
    };
    node.forget(lost, unknown, unknownStopped);
    node.breakVm(ended, "the VM's process ended");
    const orphan = planJob(
      {
        ...{
          name: null,
          command: { kind: "inline", script: "hang" },
          environment: {},
          image: null,
          vcpus: null,
          egress: null,
        },
        ...{ memoryMiB: null, diskGiB: null, timeoutMs: null, labels: {}, noSync: false, fileIds: [] },
        ...{
          workspaceId: null,
          base: null,
          persistent: false,
          noSleep: false,
          startupCommand: null,
          idleMinutes: null,
          replace: false,
        },
      },
      { id: newJobId(), accountId: "x" as never, now: new Date(), node: node.describe(), idleMinutes: 10 },
    ).job;
    node.start({ ...orphan, jobId: orphan.id, sandbox: null, keepsAwake: false, fileIds: [] });
    node.release();

    await using second = await startTestPlane(address, {
      node,
      prepare: async (database) => {
        const store = createJobStore(database);
        const stop = { at: new Date(), name: "stop_requested", data: {} };
        for (const id of [stopping, unknownStopped]) await store.requestStop(id, stop);
      },
    });
    const client = second.admin;
    assert.equal((await untilEnded(client, queued)).exit_code, 6);
    assert.equal((await untilEnded(client, unknown)).exit_code, 6);
    assert.equal((await untilEnded(client, stopping)).exit_code, 143);
    assert.deepEqual((await untilEnded(client, unknownStopped)).status, "completed");
    assert.equal((await untilEnded(client, ended)).error_message, "the VM's process ended");
    const gone = await untilEnded(client, lost);
    assert.equal(gone.status, "error");
    assert.match(gone.error_message ?? "", /the VM of this job was lost/);
    assert.equal((await statusOf(client, running)).status, "running");
    const logs = (await client.call("GET", `${JOBS}/lost/logs`)).body as { logs: { message: string }[] };
    assert.deepEqual(
      logs.logs.map((entry) => entry.message),
      ["x"],
    );
    await waitFor(
      () => {
        second.plane.nudge();
        return node.observe().every((job) => job.jobId === running);
      },
      { what: "the node to hold the running job only" },
    );
    assert.ok(node.acknowledged.includes(orphan.id));
    await client.call("POST", `${JOBS}/running/stop`);
    assert.equal((await statusOf(client, running)).exit_code, 143);
  });

  it("keeps accounts, tokens and events", async () => {
    const address = await server.database();
    const node = createSimulatedNode();
    let id: JobId;
    {
      await using first = await startTestPlane(address, { node });
      id = await submit(first.admin, "exit 1");
      await untilEnded(first.admin, id);
    }
    await using second = await startTestPlane(address, { node });
    const { body } = await second.admin.call("GET", `${JOBS}/${id}/events`);
    assert.deepEqual(
      (body as { events: { name: string }[] }).events.map((event) => event.name),
      ["submitted", "started", "completed"],
    );
  });
});
