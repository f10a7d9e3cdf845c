import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Clock, systemClock } from "@mags/core";
import { type AccountLimits, type JobId, NO_USAGE } from "@mags/domain";
import { type ApiClient, createSimulatedNode, waitFor } from "@mags/test-kit";
import { sql } from "kysely";
import type { QueueLimits } from "../src/app/job-queue.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";

const JOBS = "/api/v1/mags-jobs";
/** A request waits 10 s for a database that is away. */
const PATIENCE_MS = 60_000;

interface Status {
  readonly status: string;
  readonly exit_code?: number;
  readonly error_message?: string;
}
interface Event {
  readonly name: string;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

const limits = (account: Partial<AccountLimits>, rest: Partial<QueueLimits> = {}): QueueLimits => ({
  ...{ account: { ...NO_USAGE, ...account }, queuedPerAccount: 0, queued: 0, queueMs: 600_000 },
  ...rest,
});

/** A clock whose two kinds of time are moved by hand. */
function movableClock() {
  let [wallMs, bootMs] = [0, 0];
  const clock: Clock = {
    now: () => new Date(systemClock.now().getTime() + wallMs),
    monotonicMs: () => systemClock.monotonicMs() + bootMs,
    bootMs: () => systemClock.bootMs() + bootMs,
  };
  return {
    clock,
    stepWall(ms: number) {
      wallMs += ms;
    },
    pass(ms: number) {
      bootMs += ms;
    },
  };
}

const post = (client: ApiClient, fields: Readonly<Record<string, unknown>> = {}) =>
  client.call("POST", JOBS, { script: "hang", type: "inline", ...fields });

async function submit(client: ApiClient, fields?: Readonly<Record<string, unknown>>): Promise<JobId> {
  const reply = await post(client, fields);
  assert.equal(reply.status, 202, JSON.stringify(reply.body));
  return (reply.body as { request_id: JobId }).request_id;
}

const errorOf = ({ body }: { readonly body: unknown }) => body as { readonly error: string; readonly code: string };

async function statusOf(client: ApiClient, id: string): Promise<Status> {
  return (await client.call("GET", `${JOBS}/${id}/status`)).body as Status;
}

const untilStatus = (client: ApiClient, id: string, ...wanted: string[]) =>
  waitFor(
    async () => {
      const status = await statusOf(client, id);
      return wanted.includes(status.status) && status;
    },
    { what: `job ${id} to be ${wanted.join(" or ")}`, deadlineMs: PATIENCE_MS },
  );

async function eventsOf(client: ApiClient, id: string): Promise<readonly Event[]> {
  return ((await client.call("GET", `${JOBS}/${id}/events`)).body as { events: Event[] }).events;
}

const stop = (client: ApiClient, id: string) => client.call("POST", `${JOBS}/${id}/stop`);

/** Resolves when the node has begun with exactly these jobs, in this order. */
const untilStarted = (test: TestPlane, ids: readonly string[]) =>
  waitFor(() => test.node.startCalls.length >= ids.length, {
    what: `${ids.length} jobs to be given to the node`,
    deadlineMs: PATIENCE_MS,
  }).then(() => assert.deepEqual(test.node.startCalls, ids));

async function queuedJobs(client: ApiClient): Promise<number> {
  return ((await client.call("GET", `${JOBS}/pool-status`)).body as { queued_jobs: number }).queued_jobs;
}

describe("limits of an account", () => {
  const cases: readonly [string, Partial<AccountLimits>, Readonly<Record<string, unknown>>][] = [
    ["VMs", { vms: 2 }, {}],
    ["processors", { vcpus: 4 }, { vcpus: 2 }],
    ["memory", { memoryMiB: 2047 }, { memory_mb: 1000 }],
    ["disk", { diskGiB: 7 }, { disk_gb: 3 }],
  ];
  for (const [what, account, fields] of cases)
    it(`on ${what}: jobs beyond it wait, and start in order as soon as others end`, async () => {
      await using test = await startTestPlane(await server.database(), { limits: limits(account) });
      const ids: JobId[] = [];
      for (let n = 0; n < 5; n++) ids.push(await submit(test.admin, fields));
      await untilStarted(test, ids.slice(0, 2));
      assert.equal((await statusOf(test.admin, ids[2] ?? "")).status, "pending");
      assert.equal(await queuedJobs(test.admin), 3);
      for (const [n, id] of ids.entries()) {
        await stop(test.admin, id);
        await untilStarted(test, ids.slice(0, Math.min(n + 3, 5)));
      }
      assert.equal(await queuedJobs(test.admin), 0);
    });

  it("refuse a job that can never fit, with field, limit and cure", async () => {
    await using test = await startTestPlane(await server.database(), {
      limits: limits({ vcpus: 2, memoryMiB: 2048, diskGiB: 4 }),
    });
    const wishes: readonly [string, number, number][] = [
      ["vcpus", 3, 2],
      ["memory_mb", 4096, 2048],
      ["disk_gb", 5, 4],
    ];
    for (const [field, asked, most] of wishes) {
      const reply = await post(test.admin, { [field]: asked });
      assert.equal(reply.status, 400);
      assert.equal(
        errorOf(reply).error,
        `${field}: jobs of an account may take at most ${most} together, not ${asked}: ask for less, or have limits.account.${field} raised`,
      );
      assert.equal(errorOf(reply).code, "validation_failed");
      await submit(test.admin, { [field]: most, script: "exit 0" });
    }
  });

  it("hold up no other account", async () => {
    await using test = await startTestPlane(await server.database(), { limits: limits({ vms: 1 }) });
    const { client } = await test.addUser();
    const first = await submit(test.admin);
    for (let n = 0; n < 10; n++) await submit(test.admin);
    const other = await submit(client);
    await untilStatus(client, other, "running");
    await untilStarted(test, [first, other]);
  });

  it("are told in the job's history, with what it waits for", async () => {
    await using test = await startTestPlane(await server.database(), { limits: limits({ vms: 1 }) });
    const ids = [await submit(test.admin), await submit(test.admin), await submit(test.admin)];
    const texts = ["", "", " and 1 of the account's jobs comes first"].map((end) =>
      `waits for a VM: jobs of this account have 1 of 1 VMs,${end}`.replace(/,$/, ""),
    );
    for (const n of [1, 2]) {
      const waiting = await waitFor(
        async () => (await eventsOf(test.admin, ids[n] ?? "")).find((event) => event.name === "waiting"),
        { what: "the event" },
      );
      assert.equal(waiting.message, texts[n]);
      assert.equal(waiting.data.limit, "vms");
    }
    assert.ok((await eventsOf(test.admin, ids[0] ?? "")).every((event) => event.name !== "waiting"));
  });
});

describe("a queue that is full", () => {
  it("of an account: 429 that says when to try again, nothing stored, exact also for submits at the same time", async () => {
    await using test = await startTestPlane(await server.database(), {
      limits: limits({ vms: 2 }, { queuedPerAccount: 3 }),
    });
    const replies = await Promise.all(Array.from({ length: 30 }, () => post(test.admin)));
    const refused = replies.filter(({ status }) => status === 429);
    assert.equal(replies.filter(({ status }) => status === 202).length, 5);
    assert.equal(refused.length, 25);
    for (const reply of refused) {
      assert.equal(errorOf(reply).code, "too_many_requests");
      assert.match(errorOf(reply).error, /^not accepted: 3 jobs of this account wait for a VM.*stop some$/);
      assert.match(reply.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
    }
    const { total } = (await test.admin.call("GET", JOBS)).body as { total: number };
    assert.equal(total, 5);
    assert.equal((await post((await test.addUser()).client)).status, 202);
    const [running] = test.node.observe();
    await stop(test.admin, running?.jobId ?? "");
    await submit(test.admin);
    const metrics = await (await fetch(`${test.url}/metrics`)).text();
    assert.match(metrics, /^mags_jobs_refused_total\{limit="account"\} 25$/m);
    assert.match(metrics, /^mags_queue_jobs\{place="server"\} 3$/m);
  });

  it("of the server: 503 for whoever would have to wait", async () => {
    await using test = await startTestPlane(await server.database(), {
      limits: limits({ vms: 1 }, { queued: 2 }),
    });
    for (let n = 0; n < 3; n++) await submit(test.admin);
    const { client } = await test.addUser();
    await submit(client);
    const reply = await post(client);
    assert.deepEqual([reply.status, errorOf(reply).code], [503, "capacity_exhausted"]);
    assert.match(errorOf(reply).error, /^not accepted: 2 jobs wait for a VM of this server.*try again later$/);
    assert.match(reply.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
  });

  it("counts what waits for the node's memory, exact also for submits at the same time", async () => {
    await using test = await startTestPlane(await server.database(), {
      simulated: { memoryMiB: 4096 },
      limits: limits({}, { queuedPerAccount: 3 }),
    });
    const replies = await Promise.all(Array.from({ length: 30 }, () => post(test.admin, { memory_mb: 1024 })));
    // Four run, four wait in the node, three here.
    assert.equal(replies.filter(({ status }) => status === 202).length, 11);
    assert.equal(await queuedJobs(test.admin), 7);
  });

  it("keeps the place of no job that was not stored", async () => {
    await using test = await startTestPlane(await server.database(), {
      limits: limits({ vms: 1 }, { queuedPerAccount: 1 }),
    });
    // PostgreSQL takes no such text: the insert fails.
    const broken = await post(test.admin, { name: "x", labels: { a: "\ud800" } });
    assert.ok(broken.status >= 400, String(broken.status));
    await untilStatus(test.admin, await submit(test.admin), "running");
  });
});

describe("a node that is full", () => {
  it("serves accounts in turns", async () => {
    await using test = await startTestPlane(await server.database(), { simulated: { memoryMiB: 1024 } });
    const { client } = await test.addUser();
    const many: JobId[] = [];
    for (let n = 0; n < 12; n++) many.push(await submit(test.admin));
    const few = [await submit(client), await submit(client)];
    for (let ended = 0; ended < 14; ended++) {
      await waitFor(() => test.node.observe().find((job) => job.state === "running"), { what: "a job" }).then((job) =>
        test.node.stop(job.jobId),
      );
      await waitFor(() => test.node.observe().every((job) => job.end === null), { what: "its end to be stored" });
    }
    const order = test.node.startCalls;
    assert.equal(order.length, 14);
    // One runs and four are in the node's hands; from then on the accounts take turns.
    assert.deepEqual(order.slice(0, 5), many.slice(0, 5));
    assert.deepEqual(order.slice(5, 9), [many[5], few[0], many[6], few[1]]);
    assert.deepEqual(order.slice(9), many.slice(7));
  });

  it("is told in the history of a job that waits for it", async () => {
    await using test = await startTestPlane(await server.database(), { simulated: { memoryMiB: 1024 } });
    await submit(test.admin);
    const id = await submit(test.admin);
    const waiting = await waitFor(
      async () => (await eventsOf(test.admin, id)).find((event) => event.name === "waiting"),
      { what: "the event" },
    );
    assert.equal(waiting.message, "waits for a VM: the server has none free");
  });
});

describe("the deadline of the queue", () => {
  it("ends a job that got no VM in time in error, wherever it waits, and lets others be", async () => {
    const time = movableClock();
    await using test = await startTestPlane(await server.database(), {
      ...{ clock: time.clock, simulated: { memoryMiB: 1024 } },
      limits: limits({ vms: 2 }, { queueMs: 60_000 }),
    });
    const running = await submit(test.admin);
    await untilStatus(test.admin, running, "running");
    const [inNode, here] = [await submit(test.admin), await submit(test.admin)];
    await untilStarted(test, [running, inNode]);
    time.pass(59_000);
    await waitFor(async () => (await eventsOf(test.admin, here)).some((event) => event.name === "waiting"), {
      what: "the next look at the clock",
    });
    assert.equal((await statusOf(test.admin, here)).status, "pending");
    time.pass(1_000);
    const [atNode, waiting] = await Promise.all([inNode, here].map((id) => untilStatus(test.admin, id, "error")));
    assert.match(
      atNode?.error_message ?? "",
      /^the job got no VM within 6\d s: the server has none free; submit it again when/,
    );
    assert.match(
      waiting?.error_message ?? "",
      /^the job got no VM within 6\d s: jobs of this account have 2 of 2 VMs; stop other jobs first, or have limits\.account\.vms raised$/,
    );
    const last = (await eventsOf(test.admin, here)).at(-1);
    assert.deepEqual([last?.name, last?.message], ["failed", waiting?.error_message]);
    assert.equal((await statusOf(test.admin, running)).status, "running");
    await waitFor(() => test.node.observe().length === 1, { what: "the node to forget the job it had queued" });
    await stop(test.admin, running);
    await untilStatus(test.admin, await submit(test.admin), "running");
    assert.match(await (await fetch(`${test.url}/metrics`)).text(), /^mags_jobs_overdue_total 2$/m);
  });

  it("is stored by a later comparison when the database refused it", async () => {
    const time = movableClock();
    await using test = await startTestPlane(await server.database(), {
      ...{ clock: time.clock, limits: limits({ vms: 1 }, { queueMs: 60_000 }) },
    });
    const [running, waiting] = [await submit(test.admin), await submit(test.admin)];
    const execute = (text: string) => test.database.run((db) => sql.raw(text).execute(db));
    await execute(`create sequence refusals`);
    await execute(`create function refuse() returns trigger language plpgsql as
      $$ begin perform nextval('refusals'); raise exception 'refused by the test'; end $$`);
    await execute(`create trigger refuse before update on jobs for each row when (new.status = 'error')
      execute function refuse()`);
    time.pass(60_000);
    await waitFor(async () => (await execute("select 1 from refusals where is_called")).rows.length > 0, {
      what: "the end to be refused",
    });
    await execute("drop trigger refuse on jobs");
    const ended = await waitFor(
      async () => {
        test.plane.nudge();
        const status = await statusOf(test.admin, waiting);
        return status.status === "error" && status;
      },
      { what: "the end to be stored" },
    );
    assert.match(ended.error_message ?? "", /^the job got no VM within 6\d s: jobs of this account have 1 of 1 VMs/);
    assert.equal((await statusOf(test.admin, running)).status, "running");
    assert.equal((await eventsOf(test.admin, waiting)).filter(({ name }) => name === "failed").length, 1);
  });

  it("does not pass when the wall clock is stepped", async () => {
    const time = movableClock();
    await using test = await startTestPlane(await server.database(), {
      ...{ clock: time.clock, limits: limits({ vms: 1 }, { queueMs: 60_000 }) },
    });
    const [running, waiting] = [await submit(test.admin), await submit(test.admin)];
    for (const hour of [3_600_000, -7_200_000]) {
      time.stepWall(hour);
      await waitFor(async () => (await eventsOf(test.admin, waiting)).some((event) => event.name === "waiting"), {
        what: "a look at the clock",
      });
      assert.equal((await statusOf(test.admin, waiting)).status, "pending");
    }
    await stop(test.admin, running);
    await untilStatus(test.admin, waiting, "running");
  });
});

describe("stop of a waiting job", () => {
  it("ends it at once, frees its place in the queue, and the node never has it", async () => {
    await using test = await startTestPlane(await server.database(), {
      limits: limits({ vms: 1 }, { queuedPerAccount: 2 }),
    });
    const ids = [await submit(test.admin), await submit(test.admin), await submit(test.admin)];
    assert.equal((await post(test.admin)).status, 429);
    await stop(test.admin, ids[1] ?? "");
    const { status, exit_code } = await statusOf(test.admin, ids[1] ?? "");
    assert.deepEqual([status, exit_code], ["completed", undefined]);
    ids.push(await submit(test.admin));
    await stop(test.admin, ids[0] ?? "");
    await untilStatus(test.admin, ids[2] ?? "", "running");
    await untilStarted(test, [ids[0] ?? "", ids[2] ?? ""]);
  });

  it("ends all that wait when all jobs are to end", async () => {
    await using test = await startTestPlane(await server.database(), { limits: limits({ vms: 1 }) });
    const ids = await Promise.all(Array.from({ length: 20 }, () => submit(test.admin)));
    await test.plane.endAllJobs();
    for (const id of ids) await untilStatus(test.admin, id, "completed");
    assert.equal(test.node.startCalls.length, 1);
  });
});

describe("a restart with jobs waiting", () => {
  it("counts what runs, goes on in the same order, and never exceeds the limits", async () => {
    const address = await server.database();
    const node = createSimulatedNode();
    const ids: JobId[] = [];
    {
      await using first = await startTestPlane(address, { node, limits: limits({ vms: 2 }) });
      for (let n = 0; n < 6; n++) ids.push(await submit(first.admin));
      await untilStarted(first, ids.slice(0, 2));
      await untilStatus(first.admin, ids[1] ?? "", "running");
    }
    // It ends while nobody listens.
    node.breakVm(ids[0] as JobId, "the VM's process ended");
    await using second = await startTestPlane(address, { node, limits: limits({ vms: 2 }) });
    await untilStarted(second, ids.slice(0, 3));
    assert.deepEqual(second.plane.jobsWaitingIn("standard"), ids.slice(3));
    assert.deepEqual(second.plane.jobsWaitingIn("other"), []);
    assert.equal(await queuedJobs(second.admin), 3);
    second.plane.nudge();
    for (const [n, id] of ids.entries()) {
      await stop(second.admin, id);
      assert.ok(node.observe().filter((job) => job.end === null).length <= 2);
      await untilStarted(second, ids.slice(0, Math.min(n + 3, 6)));
    }
  });

  it("gives a job that waited before its whole time again", async () => {
    const address = await server.database();
    const time = movableClock();
    const node = createSimulatedNode();
    const options = { node, clock: time.clock, limits: limits({ vms: 1 }, { queueMs: 60_000 }) };
    let waiting: JobId;
    {
      await using first = await startTestPlane(address, options);
      await submit(first.admin);
      waiting = await submit(first.admin);
      time.pass(50_000);
    }
    await using second = await startTestPlane(address, options);
    time.pass(50_000);
    await waitFor(async () => (await eventsOf(second.admin, waiting)).some((event) => event.name === "waiting"), {
      what: "a look at the clock",
    });
    assert.equal((await statusOf(second.admin, waiting)).status, "pending");
    time.pass(10_000);
    await untilStatus(second.admin, waiting, "error");
  });

  it("with lower limits: ends what can never fit with the reason, and runs the rest", async () => {
    const address = await server.database();
    const node = createSimulatedNode();
    const ids: JobId[] = [];
    {
      await using first = await startTestPlane(address, { node, limits: limits({ vcpus: 4 }) });
      for (const vcpus of [4, 3, 2]) ids.push(await submit(first.admin, { vcpus }));
      await untilStatus(first.admin, ids[0] ?? "", "running");
    }
    await using second = await startTestPlane(address, { node, limits: limits({ vcpus: 2 }) });
    const refused = await untilStatus(second.admin, ids[1] ?? "", "error");
    assert.match(refused.error_message ?? "", /^vcpus: jobs of an account may take at most 2 together, not 3/);
    assert.equal((await statusOf(second.admin, ids[2] ?? "")).status, "pending");
    await stop(second.admin, ids[0] ?? "");
    await untilStatus(second.admin, ids[2] ?? "", "running");
  });
});

describe("a comparison with the node", () => {
  const runs = async (test: TestPlane) =>
    Number(
      /^mags_reconcile_runs_total\{[^}]*"ok"\} (\d+)$/m.exec(await (await fetch(`${test.url}/metrics`)).text())?.[1],
    );
  /** One that begins after this is called. */
  async function compare(test: TestPlane): Promise<void> {
    const before = await runs(test);
    assert.ok(before > 0, "the metric is there");
    for (let ran = 1; ran <= 2; ran++) {
      test.plane.nudge();
      await waitFor(async () => (await runs(test)) >= before + ran, { what: "a comparison" });
    }
  }

  it("keeps the place of a job that is just being stored", async () => {
    await using test = await startTestPlane(await server.database(), { limits: limits({ vms: 1 }) });
    const [locked, enough] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = test.database.run((db) =>
      db.transaction().execute(async (transaction) => {
        await sql`lock table jobs in exclusive mode`.execute(transaction); // it can be read
        locked.resolve();
        await enough.promise;
      }),
    );
    await locked.promise;
    const submitted = submit(test.admin);
    await waitFor(async () => (await queuedJobs(test.admin)) > 0 || test.plane.jobsWaitingIn("standard").length > 0, {
      what: "the job to have a place",
    });
    await compare(test);
    assert.equal(test.plane.jobsWaitingIn("standard").length, 1);
    enough.resolve();
    await holding;
    const first = await submitted;
    await untilStarted(test, [first]);
    const second = await submit(test.admin);
    await compare(test);
    assert.equal((await statusOf(test.admin, second)).status, "pending");
    assert.deepEqual(test.node.startCalls, [first]);
  });

  it("hands a job that the node dropped over again, before the others and counted once", async () => {
    await using test = await startTestPlane(await server.database(), {
      ...{ simulated: { memoryMiB: 1024 }, limits: limits({ vms: 2 }) },
    });
    const [running, dropped] = [await submit(test.admin), await submit(test.admin)];
    const [next, last] = [await submit(test.admin), await submit(test.admin)];
    await untilStatus(test.admin, running, "running");
    await untilStarted(test, [running, dropped]);
    test.node.forget(dropped);
    await compare(test);
    await untilStarted(test, [running, dropped, dropped]);
    assert.equal(await queuedJobs(test.admin), 3);
    await stop(test.admin, running);
    await untilStatus(test.admin, dropped, "running");
    await untilStarted(test, [running, dropped, dropped, next]);
    await stop(test.admin, dropped);
    await untilStatus(test.admin, next, "running");
    await untilStarted(test, [running, dropped, dropped, next, last]);
  });
});

describe("a database that is killed while jobs wait", () => {
  it("keeps them waiting; they start when it is back, in order", async () => {
    await using test = await startTestPlane(await server.database(), { limits: limits({ vms: 1 }) });
    const ids: JobId[] = [];
    for (let n = 0; n < 4; n++) ids.push(await submit(test.admin, { script: "hang" }));
    await untilStatus(test.admin, ids[0] ?? "", "running");
    process.kill(server.pid(), "SIGKILL");
    await test.node.stop(ids[0] as JobId);
    for (const [n, id] of ids.entries()) {
      if (n === 0) continue;
      await untilStarted(test, ids.slice(0, n + 1));
      await untilStatus(test.admin, id, "running");
      await test.node.stop(id);
    }
  });
});
