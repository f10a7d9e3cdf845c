import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { startServer, type TestServer } from "./harness/server.ts";
import { untilParkedOnly } from "./harness/traces.ts";

const JOBS = 100;
/** Of this machine's memory: room for few VMs at a time. */
const OVERCOMMIT = 0.15;
/** Jobs whose starts are under way at the same time may overtake each other. */
const MOST_PLACES = 8;

let server: TestServer;
before(async () => {
  server = await startServer({ node: { memory_overcommit: OVERCOMMIT, pool: { min_idle: 2, max_idle: 4 } } });
});
after(() => server[Symbol.asyncDispose]());

async function poolStatus(): Promise<{ readonly busy_vms: number; readonly queued_jobs: number }> {
  const { body } = await server.api.call("GET", "/api/v1/mags-jobs/pool-status");
  return body as { busy_vms: number; queued_jobs: number };
}

it(`${JOBS} jobs at once on a node with room for few: all end right, in the order of their acceptance, and the queue is shown`, async () => {
  await server.poolFilled(2);
  const ids: string[] = [];
  for (let n = 0; n < JOBS; n++) ids.push(await server.submit({ script: `echo job ${n}; exit ${n}` }));
  const { busy_vms, queued_jobs } = await poolStatus();
  assert.ok(queued_jobs > JOBS / 2, `${queued_jobs} queued`);
  assert.ok(busy_vms < JOBS / 10, `${busy_vms} busy`);

  const startedAt: [number, number][] = [];
  for (const [n, id] of ids.entries()) {
    const status = await server.ended(id, 240_000);
    assert.equal(status.exit_code, n, status.error_message);
    assert.equal((await server.mags(["logs", id])).text, `job ${n}\n`);
    startedAt.push([n, Date.parse(status.started_at ?? "")]);
  }
  startedAt.sort(([, a], [, b]) => a - b);
  for (const [place, [n]] of startedAt.entries())
    assert.ok(Math.abs(place - n) <= MOST_PLACES, `job ${n} started as number ${place}`);
  assert.equal((await poolStatus()).queued_jobs, 0);
  await untilParkedOnly(server);
});
