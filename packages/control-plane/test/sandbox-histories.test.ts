/** Random histories of jobs in sandboxes, with restarts of the control plane anywhere in them. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { AccountId, WorkspaceId } from "@mags/domain";
import { createSeededRandom, createSimulatedNode, type SeededRandom, waitFor } from "@mags/test-kit";
import { sql } from "kysely";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { type Body, JOBS, KEPT, NEW, SYNCED, WORKSPACES as SYNCED_PATH } from "./support/sandboxes.ts";

const WORKSPACES = ["a", "b"];
const STEPS = 60;
/** 404: a workspace that nobody used yet; 503: the object store is away. */
const EXPECTED = [200, 202, 400, 404, 409, 503];

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

function randomSubmit(random: SeededRandom): Body {
  const workspace = random.pick(WORKSPACES);
  const script = random.pick(["echo hi", "hang", "exit 3", "fail no"]);
  return random.pick([
    { script },
    { script, persistent: true },
    { script, workspace_id: workspace, replace: random.chance(0.3) },
    { ...KEPT(workspace), script, replace: random.chance(0.3) },
    NEW(workspace),
    { ...SYNCED(workspace), script, replace: random.chance(0.3) },
    { ...SYNCED(workspace), script },
    { ...NEW(workspace), no_sync: false },
    { script, base_workspace_id: random.pick(WORKSPACES) },
    { ...SYNCED(workspace), script, base_workspace_id: random.pick(WORKSPACES) },
  ]);
}

/** One step of users, of the node, or of time. */
async function step({ admin, node }: TestPlane, random: SeededRandom): Promise<void> {
  const call = async (method: string, path: string, body?: unknown) => {
    const reply = await admin.call(method, path.startsWith("/api") ? path : JOBS + path, body);
    assert.ok(EXPECTED.includes(reply.status), `${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
  };
  const { jobs } = (await admin.call("GET", `${JOBS}?page_size=5`)).body as Body;
  const name = random.pick([...WORKSPACES, ...jobs.map(({ id }: Body) => id)]);
  const seen = node.observeSandboxes();
  const sandbox = seen.length > 0 ? random.pick(seen) : undefined;
  const submit = () => call("POST", "", { type: "inline", ...randomSubmit(random) });
  const steps: (() => Promise<unknown>)[] = [
    submit,
    submit,
    submit,
    () => Promise.all([submit(), submit(), call("POST", `/${name}/stop`)]),
    () => call("POST", `/${name}/stop`),
    () => call("POST", `/${name}/stop?script_only=1`),
    () => call("POST", `/${name}/sleep`),
    () => call("POST", `/${name}/wake`),
    () => call("POST", `/${name}/exec`, { command: "true" }),
    () => call("PATCH", `/${name}`, { no_sleep: random.chance(0.5), disk_gb: 3 }),
    async () => sandbox && node.idle(sandbox.sandboxId),
    async () => sandbox && node.write(sandbox.sandboxId, "x"),
    async () => sandbox && node.interval(sandbox.sandboxId),
    async () => node.storeAway(random.chance(0.3) ? "away" : null),
    () => call("POST", `/${name}/sync`),
    () => call("POST", `/${name}/stop?force=1`),
    () => call("DELETE", `${SYNCED_PATH}/${random.pick(WORKSPACES)}?force=${random.pick(["0", "1"])}`),
    () => call("POST", `${SYNCED_PATH}/${random.pick(WORKSPACES)}/restore`, { version: 1 }),
    () => Promise.all([submit(), call("POST", `/${name}/stop`), call("POST", `/${name}/sync`)]),
    async () => sandbox && node.loseVm(sandbox.sandboxId, "QEMU was killed"),
    async () => sandbox && random.chance(0.2) && node.forgetSandbox(sandbox.sandboxId),
  ];
  await random.pick(steps)();
}

/** Every disk began as the newest version, and what was published last is what will be opened next. */
async function checkWorkspaces({ database, node }: TestPlane): Promise<void> {
  const { rows: stale } = await database.run((db) =>
    sql`select error_message from jobs where error_message ~ 'newest version|is deleted'`.execute(db),
  );
  assert.deepEqual(stale, []);
  const { rows } = await database.run((db) =>
    sql<{ id: WorkspaceId; account_id: AccountId; seq: number }>`select id, account_id, seq from workspaces
      where deleted_at is null and seq is not null`.execute(db),
  );
  for (const { id: workspaceId, account_id: accountId, seq } of rows) {
    const versions = await node.listVersions({ workspaceId, accountId }, { signal: AbortSignal.timeout(1e6) });
    assert.equal(versions.at(-1)?.seq, seq);
  }
}

describe("any history of jobs in sandboxes", () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8])
    it(`ends with nothing left when all is stopped (seed ${seed})`, async () => {
      const random = createSeededRandom(seed);
      const address = await server.database();
      const node = createSimulatedNode();
      for (let left = STEPS; left > 0; ) {
        await using plane = await startTestPlane(address, { node, reconcileIntervalMs: 50 });
        for (let n = random.between(1, 20); n > 0 && left > 0; n--, left--) await step(plane, random);
      }
      await using last = await startTestPlane(address, { node, reconcileIntervalMs: 50 });
      node.storeAway(null);
      const isQuiet = async () => {
        const { jobs } = (await last.admin.call("GET", `${JOBS}?page_size=100`)).body as Body;
        const live = jobs.filter(({ status }: Body) => status !== "completed" && status !== "error");
        for (const { id } of live) await last.admin.call("POST", `${JOBS}/${id}/stop`);
        for (const name of WORKSPACES) await last.admin.call("POST", `${JOBS}/${name}/stop`);
        // What nobody can name goes by itself.
        for (const { sandboxId } of node.observeSandboxes()) await node.idle(sandboxId).catch(() => {});
        return live.length === 0 && node.observeSandboxes().length === 0 && node.observe().length === 0;
      };
      await waitFor(isQuiet, { what: "an end of everything" });
      const isForgotten = async () => {
        const { rows } = await last.database.run((db) =>
          sql<{ left: number }>`select (select count(*) from sandboxes where ended_at is null)
            + (select count(*) from awake_periods where ended_at is null) as left`.execute(db),
        );
        return Number(rows[0]?.left) === 0;
      };
      // What the node lost without a word is found by comparing.
      await waitFor(isForgotten, { what: "no sandbox in the books" });
      await checkWorkspaces(last);
    });
});
