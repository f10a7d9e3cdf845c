/** What users do to workspaces. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { type Body, JOBS, KEPT, NEW, SYNCED, sandboxTests, WORKSPACES } from "./support/sandboxes.ts";

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
afterEach(() => plane.node.storeAway(null));

const api = sandboxTests(() => plane);
const { call, post, submit, statusOf, untilStatus, untilScriptOver, newestSandbox } = api;
const stop = (name: string, query = "") => call("POST", `${JOBS}/${name}/stop${query}`);
const remove = (name: string, query = "") => call("DELETE", `${WORKSPACES}/${name}${query}`);
const restore = (name: string, version: number) => call("POST", `${WORKSPACES}/${name}/restore`, { version });
const versionsOf = async (name: string): Promise<readonly Body[]> =>
  (await call("GET", `${WORKSPACES}/${name}/versions`)).body.versions;
const names = async () => (await call("GET", WORKSPACES)).body.workspaces.map(({ id }: Body) => id);

/** Runs a job on a workspace that writes, and stops it: one version more. */
async function write(name: string, text: string): Promise<void> {
  await untilScriptOver(await submit(SYNCED(name)));
  plane.node.write(newestSandbox(), text);
  await stop(name);
}

const contentOf = async (name: string) => {
  await untilScriptOver(await submit(SYNCED(name)));
  const text = plane.node.contentOf(newestSandbox());
  await stop(name);
  return text;
};

function isInUse(reply: Body, ...words: readonly string[]): void {
  assert.deepEqual([reply.status, reply.body.code], [409, "workspace_in_use"], JSON.stringify(reply.body));
  for (const word of ["in use", ...words]) assert.ok(reply.body.error.includes(word), `${word}: ${reply.body.error}`);
}

const isUnknown = (reply: Body) =>
  assert.deepEqual([reply.status, reply.body.code], [404, "workspace_not_found"], JSON.stringify(reply.body));

describe("the list of workspaces", () => {
  it("has what is synced, with sizes, times, job and base", async () => {
    await write("listed", "12345");
    await untilScriptOver(await submit(KEPT("local")));
    await stop("local");
    const id = await submit({ ...SYNCED("fork"), base_workspace_id: "listed", script: "hang" });
    await untilStatus(id, "running");
    await call("POST", `${JOBS}/fork/sync`);
    const { workspaces, total } = (await call("GET", WORKSPACES)).body;
    assert.deepEqual([workspaces.map((one: Body) => one.workspace_id), total], [["fork", "listed"], 2]);
    const [fork, listed] = workspaces;
    assert.deepEqual([fork.active_request_id, fork.base], [id, { workspace_id: "listed", version: 1 }]);
    const { id: name, version, size_bytes, stored_bytes, active_request_id, base, behind_bytes, failure } = listed;
    assert.deepEqual([name, version, size_bytes, stored_bytes], ["listed", 1, 5, 5]);
    assert.deepEqual([active_request_id, base, behind_bytes, failure], [null, null, 0, null]);
    for (const time of ["created_at", "updated_at", "last_synced_at"])
      assert.ok(Math.abs(Date.parse(listed[time]) - Date.now()) < 60_000, time);
    assert.equal((await call("GET", `${JOBS}/usage`)).body.storage_bytes, 10);
    await stop("fork");
  });

  it("shows that what did not change since is synced", async () => {
    await untilScriptOver(await submit(SYNCED("still")));
    await call("POST", `${JOBS}/still/sync`);
    const before = (await statusOf("still")).sync.last_synced_at;
    await waitFor(() => Date.now() > Date.parse(before), { what: "the next millisecond" });
    await plane.node.interval(newestSandbox());
    assert.ok((await statusOf("still")).sync.last_synced_at > before);
    await stop("still");
  });
});

describe("the deletion of a workspace", () => {
  it("frees its name at once and has the node remove its data", async () => {
    await write("doomed", "old");
    assert.deepEqual((await remove("doomed")).body, { success: true, message: "Workspace doomed deleted" });
    isUnknown(await remove("doomed"));
    isUnknown(await call("GET", `${WORKSPACES}/doomed/versions`));
    assert.equal((await post({ base_workspace_id: "doomed" })).status, 400);
    await write("doomed", "new");
    assert.equal(await contentOf("doomed"), "new");
    assert.equal((await versionsOf("doomed")).length, 1);
  });

  it("is refused while a job lives on it, awake or asleep, a warm copy is left, or a fork stands on it", async () => {
    await write("stood", "x");
    const owner = await submit(SYNCED("stood"));
    await untilScriptOver(owner);
    isInUse(await remove("stood"), owner, "running", "mags stop stood");
    await call("POST", `${JOBS}/stood/sleep`);
    isInUse(await remove("stood"), owner, "sleeping");
    await stop("stood");
    const warm = await submit({ workspace_id: "stood" });
    await untilStatus(warm, "completed");
    isInUse(await remove("stood"), warm, "completed", "mags stop stood");
    await stop("stood");
    const fork = await submit({ workspace_id: "leaf", base_workspace_id: "stood", script: "hang" });
    await untilStatus(fork, "running");
    isInUse(await remove("stood"), fork, "mags stop leaf");
    await stop(fork);
    await stop("leaf");
    assert.equal((await remove("stood")).status, 200);
  });

  it("stops what stands on it with force, also while the store is away, and is finished when it is back", async () => {
    await write("crushed", "x");
    const owner = await submit({ ...SYNCED("crushed"), script: "hang" });
    await untilStatus(owner, "running");
    plane.node.write(newestSandbox(), "lost");
    const fork = await submit({ base_workspace_id: "crushed", script: "hang" });
    const other = await submit({ base_workspace_id: "crushed", ...NEW("kept") });
    for (const id of [fork, other]) await untilStatus(id, "running");
    plane.node.storeAway("away");
    assert.equal((await remove("crushed", "?force=true")).status, 200);
    for (const id of [owner, fork, other]) assert.equal((await statusOf(id)).status, "completed");
    assert.ok(!(await names()).includes("crushed"));
    const stored = plane.node.storedWorkspaces().length;
    plane.node.storeAway(null);
    plane.plane.nudge();
    await waitFor(() => plane.node.storedWorkspaces().length === stored - 1, { what: "the removal" });
  });

  it("with force syncs what changed in forks that are synced before they end", async () => {
    await write("trunk", "x");
    const based = { base_workspace_id: "trunk" };
    const fork = await submit({ ...SYNCED("bough"), ...based });
    await untilScriptOver(fork);
    plane.node.write(newestSandbox(), " dear");
    await untilStatus(await submit({ ...based, workspace_id: "loose" }), "completed");
    plane.node.storeAway("the store is away");
    isInUse(
      await remove("trunk", "?force=1"),
      fork,
      "bough is not synced yet",
      "store is away",
      "mags stop --force bough",
    );
    assert.deepEqual([(await statusOf(fork)).status, (await names()).includes("trunk")], ["running", true]);
    plane.node.storeAway(null);
    assert.equal((await remove("trunk", "?force=1")).status, 200);
    assert.equal((await statusOf(fork)).status, "completed");
    assert.deepEqual(plane.node.observeSandboxes(), []);
    assert.equal(await contentOf("bough"), "x dear");
  });

  it("and a submit at the same time: one of them finds the other", async () => {
    for (let n = 0; n < 8; n++) {
      await write("contested", "x");
      const [removed, submitted] = await Promise.all([
        remove("contested"),
        post({ ...SYNCED("contested"), script: "hang" }),
      ]);
      assert.equal(submitted.status, 202);
      await untilStatus(submitted.body.request_id, "running");
      assert.equal(plane.node.contentOf(newestSandbox()), removed.status === 200 ? "" : "x");
      if (removed.status !== 200) isInUse(removed);
      await stop("contested");
      await remove("contested");
    }
  });

  it("while it is being synced leaves nothing behind that could be opened", async () => {
    await untilScriptOver(await submit(SYNCED("syncing")));
    const sandbox = newestSandbox();
    plane.node.write(sandbox, "x");
    const [removed] = await Promise.all([remove("syncing", "?force=1"), plane.node.interval(sandbox)]);
    assert.equal(removed.status, 200);
    assert.ok(!(await names()).includes("syncing"));
    assert.equal(await contentOf("syncing"), "");
    await remove("syncing");
  });
});

describe("the differences of two versions", () => {
  const diff = (name: string, version: number, query = "") =>
    call("GET", `${WORKSPACES}/${name}/versions/${version}/diff${query}`);

  it("are told from one to another, or to the latest", async () => {
    await write("differs", "one");
    await write("differs", " two ");
    const { status, body } = await diff("differs", 1);
    assert.equal(status, 200, JSON.stringify(body));
    const change = { path: "content", change: "changed", parts: ["content"], type: "file" };
    const changes = [{ ...change, size_before: 3, size_after: 8 }];
    assert.deepEqual(body, { workspace_id: "differs", version: 1, with: 2, changes, next: null });
    assert.deepEqual((await diff("differs", 2, "?with=1")).body.changes[0].size_after, 3);
    assert.deepEqual((await diff("differs", 2, "?with=2")).body.changes, []);
    const after = Buffer.from("content").toString("base64url");
    assert.deepEqual((await diff("differs", 1, `?after=${after}`)).body.changes, []);
  });

  it("are refused for versions that there are not, and while the store is away", async () => {
    await write("missing", "x");
    for (const reply of [await diff("missing", 7), await diff("missing", 1, "?with=7")])
      assert.deepEqual([reply.status, reply.body.code], [404, "version_not_found"]);
    assert.equal((await diff("missing", 0)).status, 400);
    assert.equal((await diff("missing", 1, "?limit=10001")).status, 400);
    isUnknown(await diff("nowhere", 1));
    plane.node.storeAway("the object store is away");
    assert.equal((await diff("missing", 1)).status, 503);
  });
});

describe("the versions of a workspace", () => {
  it("are listed newest first, and an older one is made the newest", async () => {
    for (const text of ["a", "b"]) await write("lived", text);
    const versions = await versionsOf("lived");
    assert.deepEqual(
      versions.map(({ version, reason, size_bytes }) => [version, reason, size_bytes]),
      [
        [2, "stop", 2],
        [1, "stop", 1],
      ],
    );
    const reply = await restore("lived", 1);
    assert.equal(reply.status, 200);
    assert.deepEqual([reply.body.success, reply.body.version], [true, 3]);
    assert.equal(await contentOf("lived"), "a");
    assert.deepEqual((await versionsOf("lived"))[0]?.reason, "restore");
  });

  it("are none before the first sync", async () => {
    await untilScriptOver(await submit(SYNCED("fresh")));
    assert.deepEqual(await versionsOf("fresh"), []);
    await stop("fresh");
  });

  it("cannot be restored while it is open, and not where there is none", async () => {
    await write("open", "a");
    await untilScriptOver(await submit(SYNCED("open")));
    isInUse(await restore("open", 1), "mags stop open");
    await stop("open");
    await untilStatus(await submit({ workspace_id: "open" }), "completed");
    isInUse(await restore("open", 1), "mags stop open");
    await stop("open");
    const missing = await restore("open", 7);
    assert.deepEqual([missing.status, missing.body.code], [404, "version_not_found"]);
    isUnknown(await restore("nothing", 1));
    plane.node.storeAway("the store is away");
    assert.equal((await restore("open", 1)).status, 503);
    assert.equal((await call("GET", `${WORKSPACES}/open/versions`)).status, 503);
    plane.node.storeAway(null);
    assert.equal(await contentOf("open"), "a");
  });
});
