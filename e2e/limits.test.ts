import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";

const JOBS = "/api/v1/mags-jobs";
/** The host needs some of the memory of four such VMs for itself. */
const VM_MIB = 1024;
const VMS = 4;

/** Leaves the node memory for so many small VMs, whatever the host has. */
function smallNode() {
  const [, kib] = /^MemTotal:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "latin1")) ?? [];
  const memoryFloor = Math.floor(Number(kib) / 1024) - VMS * VM_MIB;
  return { default_memory_mb: VM_MIB, max_memory_mb: VM_MIB, memory_floor_mb: memoryFloor, pool: { min_idle: 1 } };
}

const errorOf = (body: unknown) => body as { readonly error: string; readonly code: string };

async function runningJobs(server: TestServer): Promise<number> {
  return ((await server.api.call("GET", `${JOBS}?status=running`)).body as { total: number }).total;
}

describe("30 jobs at once on a node with room for 4", () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ node: smallNode() });
  });
  after(() => server[Symbol.asyncDispose]());

  it("all run to their ends, and never more than it has room for", async () => {
    const numbers = Array.from({ length: 30 }, (_, n) => n);
    const ids = await Promise.all(numbers.map((n) => server.submit({ script: `echo job ${n}; exit ${n}` })));
    let most = 0;
    let waiting = 0;
    await waitFor(
      async () => {
        const pool = (await server.api.call("GET", `${JOBS}/pool-status`)).body as Record<string, number>;
        most = Math.max(most, pool.busy_vms ?? 0);
        waiting = Math.max(waiting, pool.queued_jobs ?? 0);
        const { total } = (await server.api.call("GET", `${JOBS}?status=completed`)).body as { total: number };
        return total === ids.length;
      },
      { what: "the end of all jobs", deadlineMs: 240_000, intervalMs: 100 },
    );
    assert.ok(most > 1 && most <= VMS, `${most} VMs at a time`);
    assert.ok(waiting > ids.length / 2, `only ${waiting} waited`);
    for (const [n, id] of ids.entries()) assert.equal((await server.status(id)).exit_code, n);
    for (const n of [0, 15, 29]) assert.equal((await server.mags(["logs", ids[n] ?? ""])).text, `job ${n}\n`);
  });
});

describe("small limits", () => {
  const QUEUE_SECONDS = 8;
  let server: TestServer;
  before(async () => {
    server = await startServer({
      config: {
        limits: {
          account: { vms: 2, vcpus: 3, memory_mb: 2048, disk_gb: 6, queued_jobs: 1 },
          queue_seconds: QUEUE_SECONDS,
        },
      },
    });
  });
  after(() => server[Symbol.asyncDispose]());

  it("refuse what can never fit, with field, limit and cure, before anything is stored", async () => {
    for (const [flag, asked, field, most] of [
      ["--vcpus", 4, "vcpus", 3],
      ["--memory", 3000, "memory_mb", 2048],
      ["--disk", 7, "disk_gb", 6],
    ] as const) {
      const { exitCode, errors } = await server.mags(["run", flag, String(asked), "true"]);
      assert.equal(exitCode, 1);
      assert.equal(
        errors,
        `error: ${field}: jobs of an account may take at most ${most} together, not ${asked}: ask for less, or have limits.account.${field} raised\n`,
      );
    }
    assert.equal(((await server.api.call("GET", JOBS)).body as { total: number }).total, 0);
  });

  it("let one wait and refuse the next; mags run waits with it for a place, and all end", async () => {
    const running = [await server.submit({ script: "sleep 60" }), await server.submit({ script: "sleep 60" })];
    await waitFor(async () => (await runningJobs(server)) === 2, { what: "two jobs to run", deadlineMs: 30_000 });
    const waiting = await server.submit({ script: "echo waited" });
    const reply = await server.api.call("POST", JOBS, { script: "true", type: "inline" });
    assert.deepEqual([reply.status, errorOf(reply.body).code], [429, "too_many_requests"]);
    assert.match(errorOf(reply.body).error, /^not accepted: 1 jobs? of this account waits? for a VM/);
    const { text } = await server.mags(["pool"]);
    assert.match(text, /1/);
    const cli = server.startMags(["run", "echo patient"]);
    await waitFor(
      async () => {
        const { body } = await server.api.call("GET", `${JOBS}/${waiting}/events`);
        return JSON.stringify(body).includes("waits for a VM: jobs of this account have 2 of 2 VMs");
      },
      { what: "the reason in the history" },
    );
    for (const id of running) assert.equal((await server.mags(["stop", id])).exitCode, 0);
    assert.equal((await server.ended(waiting)).exit_code, 0);
    const { exitCode, text: output, errors } = await cli.result;
    assert.equal(exitCode, 0, errors);
    assert.equal(output, "patient\n");
  });

  it("end a job that got no VM in time, with what it waited for", async () => {
    const running = [await server.submit({ script: "sleep 60" }), await server.submit({ script: "sleep 60" })];
    const { exitCode, errors } = await server.mags(["run", "echo never"]);
    assert.notEqual(exitCode, 0);
    assert.match(
      errors,
      /the job got no VM within \d+ s: jobs of this account have 2 of 2 VMs; stop other jobs first, or have limits\.account\.vms raised/,
    );
    for (const id of running) await server.mags(["stop", id]);
  });

  it("hold over a kill -9 of the server", async () => {
    const running = [await server.submit({ script: "sleep 60" }), await server.submit({ script: "sleep 60" })];
    await waitFor(async () => (await runningJobs(server)) === 2, { what: "two jobs to run", deadlineMs: 30_000 });
    const waiting = await server.submit({ script: "echo later" });
    await server.kill();
    await server.start();
    assert.equal((await server.status(waiting)).status, "pending");
    assert.equal((await server.api.call("POST", JOBS, { script: "true", type: "inline" })).status, 429);
    for (const id of running) await server.mags(["stop", id]);
    assert.equal((await server.ended(waiting)).exit_code, 0);
  });
});
