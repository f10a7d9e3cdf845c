/** What becomes of files, in each mode of a workspace. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import type { JobId } from "@mags/domain";
import { createSimulatedNode, waitFor } from "@mags/test-kit";
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
const { call, post, submit, statusOf, untilStatus, untilScriptOver, untilEvent, eventNames, newestSandbox } = api;
const stop = (name: string, query = "") => call("POST", `${JOBS}/${name}/stop${query}`);
const sync = (name: string) => call("POST", `${JOBS}/${name}/sync`);
const content = () => plane.node.contentOf(newestSandbox());
const listed = async (name: string): Promise<Body> =>
  (await call("GET", WORKSPACES)).body.workspaces.find(({ workspace_id }: Body) => workspace_id === name);

/** A job whose script is over, in a VM into which `text` was written. */
async function write(fields: Readonly<Record<string, unknown>>, text: string): Promise<JobId> {
  const id = await submit(fields);
  await untilScriptOver(id);
  plane.node.write(newestSandbox(), text);
  return id;
}

/** A synced workspace that is open nowhere. */
async function makeSynced(name: string, text = name): Promise<void> {
  await write(SYNCED(name), text);
  assert.equal((await stop(name)).body.message, "Mags job stopped");
}

function isRefused(reply: Body, status: number, ...words: readonly string[]): void {
  assert.equal(reply.status, status, JSON.stringify(reply.body));
  for (const word of words) assert.ok(reply.body.error.includes(word), `${word}: ${reply.body.error}`);
}

describe("run -w X -p", () => {
  it("syncs the workspace at each stop, and opens it again as it was", async () => {
    const first = await write(SYNCED("kept"), "one ");
    const target = plane.node.policyOf(newestSandbox())?.syncTo;
    assert.deepEqual([target?.name, target?.forkedFrom], ["kept", null]);
    assert.deepEqual((await statusOf(first)).sync, {
      ...{ version: null, last_synced_at: null, behind_bytes: 4, failure: null, running: null },
    });
    await stop("kept");
    assert.deepEqual(plane.node.observeSandboxes(), []);
    assert.ok((await eventNames(first)).includes("synced"));
    assert.equal((await statusOf(first)).sync, undefined);
    const again = await write(SYNCED("kept"), "two");
    assert.equal(content(), "one two");
    assert.match((await untilEvent(again, "opened")).message, /version 1 of workspace kept/);
    await stop("kept");
    assert.equal((await listed("kept")).version, 2);
  });

  it("is told how far it is synced, and that it is, by syncs in between", async () => {
    const id = await write(SYNCED("told"), "abc");
    await plane.node.interval(newestSandbox());
    await waitFor(async () => (await listed("told")).version === 1, { what: "the version" });
    assert.ok(!(await eventNames(id)).includes("synced"));
    plane.node.write(newestSandbox(), "de");
    const { sync: progress } = await statusOf(id);
    assert.deepEqual([progress.version, progress.behind_bytes, progress.failure], [1, 2, null]);
    assert.ok(Math.abs(Date.parse(progress.last_synced_at) - Date.now()) < 60_000);
    await stop("told");
  });

  it("is begun once, however many come at once", async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => post({ ...SYNCED("rush"), script: "hang" })));
    assert.equal(replies.filter(({ status }) => status === 202).length, 1);
    for (const reply of replies) if (reply.status !== 202) isRefused(reply, 409, "already exists", "in use");
    await untilStatus("rush", "running");
    await stop("rush");
    await makeSynced("rush");
    assert.equal((await call("GET", WORKSPACES)).body.workspaces.filter(({ id }: Body) => id === "rush").length, 1);
  });

  it("is opened by one of two that come at once, ten times over, each time with what was written last", async () => {
    let written = "";
    for (let n = 0; n < 10; n++) {
      const replies = await Promise.all([1, 2].map(() => post({ ...SYNCED("raced"), script: "hang" })));
      const refused = replies.filter(({ status }) => status !== 202);
      assert.equal(refused.length, 1);
      for (const reply of refused) isRefused(reply, 409, "already exists", "in use");
      await untilStatus("raced", "running");
      assert.equal(content(), written);
      plane.node.write(newestSandbox(), `${n} `);
      written += `${n} `;
      await stop("raced");
    }
  });

  it("waits for the last changes of the job before, and begins with them", async () => {
    await write(SYNCED("handed"), "last");
    const [, next] = await Promise.all([stop("handed"), submit({ ...SYNCED("handed"), script: "hang" })]);
    await untilStatus(next, "running");
    assert.equal(content(), "last");
    await stop("handed");
  });

  it("begins anew where the first job never started", async () => {
    plane.node.hold();
    const id = await submit(SYNCED("stillborn"));
    plane.node.breakVm(id, "no such image");
    plane.node.release();
    await untilStatus(id, "error");
    await waitFor(async () => (await listed("stillborn")) === undefined, { what: "its end" });
    await makeSynced("stillborn");
    assert.equal((await listed("stillborn")).version, 1);
  });
});

describe("a synced workspace without persistent", () => {
  it("is opened as its latest version; what changes is dropped, and the log says so", async () => {
    await makeSynced("lent", "kept ");
    const id = await submit({ workspace_id: "lent" });
    await untilStatus(id, "completed");
    plane.node.write(newestSandbox(), "lost");
    assert.match((await untilEvent(id, "local_copy")).message, /lent is open as a copy: .*dropped/);
    assert.equal(plane.node.policyOf(newestSandbox())?.syncTo, null);
    const second = await submit({ workspace_id: "lent" });
    await untilStatus(second, "completed");
    assert.deepEqual([content(), (await eventNames(second)).includes("local_copy")], ["kept lost", true]);
    isRefused(await sync("lent"), 400, "lent is open as a local copy");
    await stop("lent");
    await untilStatus(await submit({ workspace_id: "lent" }), "completed");
    assert.equal(content(), "kept ");

    const kept = await submit(SYNCED("lent"));
    await untilScriptOver(kept);
    assert.equal(content(), "kept ");
    assert.match((await untilEvent(kept, "local_copy_dropped")).message, /not synced was dropped/);
    assert.equal(plane.node.observeSandboxes().length, 1);
    await stop("lent");
  });

  it("runs in the VM that is open, which stays as synced as it was", async () => {
    const owner = await write(SYNCED("shared"), "a");
    const guest = await submit({ workspace_id: "shared" });
    await untilStatus(guest, "completed");
    assert.ok(!(await eventNames(guest)).includes("local_copy"));
    assert.equal(plane.node.policyOf(newestSandbox())?.syncTo?.name, "shared");
    await stop(owner);
  });

  it("is not dropped while somebody keeps the copy", async () => {
    await makeSynced("copied");
    const copy = await submit(NEW("copied"));
    await untilStatus(copy, "running");
    assert.equal(content(), "copied");
    isRefused(await post(SYNCED("copied")), 409, "already exists", "in use", "not synced", "mags stop copied", copy);
    await stop("copied");
  });
});

describe("promotion", () => {
  it("makes a warm local workspace the first version of a synced one", async () => {
    await write({ workspace_id: "grown" }, "local ");
    const id = await write(SYNCED("grown"), "synced");
    assert.match((await untilEvent(id, "synced")).message, /version 1: it was local so far/);
    assert.equal((await sync("grown")).body.version, 2);
    await stop("grown");
    await untilScriptOver(await submit(SYNCED("grown")));
    assert.equal(content(), "local synced");
    await stop("grown");
  });

  it("promotes a live local sandbox of new, by a job beside its sleep", async () => {
    const made = await submit(NEW("raised"));
    await untilStatus(made, "running");
    plane.node.write(newestSandbox(), "work");
    await untilStatus(await submit(SYNCED("raised")), "completed");
    const status = await statusOf(made);
    assert.deepEqual([status.status, status.sync.version], ["running", 1]);
    await stop(made);
    assert.equal((await listed("raised")).version, 1);
  });

  it("happens also where the VM is still to come, and the job is over when it comes", async () => {
    plane.node.hold();
    const made = await submit(NEW("early"));
    const beside = await submit(SYNCED("early"));
    await stop(beside);
    plane.node.release();
    await untilStatus(made, "running");
    await waitFor(() => plane.node.policyOf(newestSandbox())?.syncTo?.name === "early", { what: "the promotion" });
    await stop(made);
  });
});

describe("--base", () => {
  it("gives a job files that are dropped with its VM, any number at once, and leaves the base alone", async () => {
    await makeSynced("golden");
    const ids = await Promise.all(
      Array.from({ length: 6 }, () => submit({ base_workspace_id: "golden", script: "hang" })),
    );
    for (const id of ids) await untilStatus(id, "running");
    for (const { sandboxId, sync: synced } of plane.node.observeSandboxes()) {
      assert.deepEqual([plane.node.contentOf(sandboxId), synced], ["golden", null]);
      assert.deepEqual(plane.node.policyOf(sandboxId)?.idle, { action: "release", afterMs: 0 });
      plane.node.write(sandboxId, " changed");
    }
    assert.equal((await call("POST", `${JOBS}/${ids[0]}/exec`, { command: "true" })).status, 200);
    for (const id of ids) await stop(id);
    for (const { sandboxId } of plane.node.observeSandboxes()) await plane.node.idle(sandboxId);
    assert.deepEqual(plane.node.observeSandboxes(), []);
    assert.equal((await listed("golden")).version, 1);
  });

  it("forks into a local or a synced workspace, whose base is listed", async () => {
    await makeSynced("stem");
    const based = { base_workspace_id: "stem" };
    const local = await write({ ...based, workspace_id: "twig" }, " twig");
    assert.equal(content(), "stem twig");
    assert.equal(await listed("twig"), undefined);
    await write({ ...based, ...SYNCED("twig") }, "!");
    assert.deepEqual((await listed("twig")).base, { workspace_id: "stem", version: 1 });
    await stop("twig");
    await write({ ...based, ...SYNCED("branch") }, " branch");
    await stop("branch");
    assert.deepEqual((await listed("branch")).base, { workspace_id: "stem", version: 1 });
    assert.match((await untilEvent(local, "opened")).message, /version 1 of workspace stem/);
    await untilScriptOver(await submit({ ...based, ...SYNCED("branch") }));
    assert.equal(content(), "stem branch");
    isRefused(await post({ base_workspace_id: "golden", ...SYNCED("branch") }), 409, "forked from stem@1");
    await stop("branch");
    isRefused(await post({ base_workspace_id: "golden", ...SYNCED("branch") }), 409, "already exists", "stem@1");
    isRefused(await post({ ...based, ...SYNCED("stem2"), base_workspace_id: "stem2" }), 400, "its own base");
  });

  it("takes a version of the base by its number", async () => {
    await makeSynced("aged", "old ");
    await makeSynced("aged", "new");
    await untilStatus(await submit({ base_workspace_id: "aged@1", workspace_id: "fromold" }), "completed");
    assert.equal(content(), "old ");
    await stop("fromold");
    isRefused(await post({ base_workspace_id: "aged@9" }), 400, "no version 9", "mags workspace versions aged");
    plane.node.storeAway("the store is away");
    isRefused(await post({ base_workspace_id: "aged@1" }), 503, "the store is away");
  });

  it("is refused at once when the base is missing, local, unsynced or another's, and says what to do", async () => {
    isRefused(await post({ base_workspace_id: "nothing" }), 400, "no workspace nothing", "mags sync nothing");
    await untilScriptOver(await submit(KEPT("onlylocal")));
    isRefused(await post({ base_workspace_id: "onlylocal" }), 400, "onlylocal is local", "mags sync onlylocal");
    await stop("onlylocal");
    await untilScriptOver(await submit(SYNCED("unsynced")));
    isRefused(await post({ base_workspace_id: "unsynced" }), 400, "never synced", "mags sync unsynced");
    assert.equal((await sync("unsynced")).status, 200);
    await untilStatus(await submit({ base_workspace_id: "unsynced" }), "completed");
    await stop("unsynced");
    const { client } = await plane.addUser();
    const theirs = await client.call("POST", JOBS, { script: "x", type: "inline", base_workspace_id: "unsynced" });
    isRefused(theirs, 400, "no workspace unsynced");
  });

  it("has the image and at least the disk of the base", async () => {
    await write({ ...SYNCED("wide"), disk_gb: 7 }, "x");
    await stop("wide");
    const id = await submit({ base_workspace_id: "wide" });
    assert.equal((await untilStatus(id, "completed")).disk_gb, 7);
    isRefused(await post({ base_workspace_id: "wide", rootfs_type: "alpine" }), 400, "rootfs_type");
  });
});

describe("the end of all jobs", () => {
  it("ends what only began as a base, and puts what is synced to sleep", async () => {
    await using own = await startTestPlane(await server.database());
    const mine = sandboxTests(() => own);
    const kept = await mine.submit({ ...SYNCED("golden"), script: "hang" });
    await mine.untilStatus(kept, "running");
    await mine.call("POST", `${JOBS}/golden/sync`);
    const based = await mine.submit({ base_workspace_id: "golden", script: "hang" });
    await mine.untilStatus(based, "running");
    await own.plane.endAllJobs();
    assert.equal((await mine.untilStatus(based, "completed")).exit_code, 143);
    assert.equal((await mine.statusOf(kept)).status, "sleeping");
    assert.equal(own.node.observeSandboxes().length, 1);
  });
});

describe("a sync on request", () => {
  it("answers with the version, also of a job that ended", async () => {
    const id = await write(SYNCED("asked"), "x");
    const reply = await sync("asked");
    assert.deepEqual(
      [reply.status, reply.body],
      [200, { success: true, message: "Workspace asked synced as version 1", version: 1 }],
    );
    assert.match((await untilEvent(id, "synced")).message, /as requested/);
    await call("POST", `${JOBS}/asked/sleep`);
    assert.equal((await sync("asked")).body.version, 1);
    await stop("asked");
    assert.equal((await sync("asked")).body.version, 1);
  });

  it("is refused where there is nothing to sync, or nothing yet", async () => {
    plane.node.hold();
    await submit({ ...SYNCED("notyet"), script: "hang" });
    isRefused(await sync("notyet"), 409, "no VM associated with this job");
    plane.node.release();
    await stop("notyet");
    const { node } = plane;
    node.hold();
    const id = await submit(SYNCED("never"));
    node.breakVm(id, "no");
    node.release();
    await untilStatus(id, "error");
    // Its sandbox goes a moment later.
    const isGone = async () => !String((await sync("never")).body.error).includes("no VM");
    await waitFor(isGone, { what: "the end of its sandbox" });
    isRefused(await sync("never"), 409, "not running", "never synced");
  });

  it("says that the store is away, once in the events, and loses nothing", async () => {
    const id = await write(SYNCED("cutoff"), "x");
    plane.node.storeAway("the disk of the store is full");
    for (let n = 0; n < 2; n++) isRefused(await sync("cutoff"), 503, "the disk of the store is full");
    assert.equal((await statusOf(id)).sync.failure, "the disk of the store is full");
    assert.equal((await listed("cutoff")).failure, "the disk of the store is full");
    assert.match((await untilEvent(id, "sync_failed")).message, /stays in its VM: the disk of the store is full/);
    assert.equal((await eventNames(id)).filter((name) => name === "sync_failed").length, 1);
    plane.node.storeAway(null);
    assert.equal((await sync("cutoff")).body.version, 1);
    await stop("cutoff");
  });

  it("says that another writes the workspace", async () => {
    const id = await write(SYNCED("stolen"), "x");
    const target = plane.node.policyOf(newestSandbox())?.syncTo;
    assert.ok(target);
    plane.node.takeLease(target.workspaceId);
    const reply = await sync("stolen");
    assert.deepEqual([reply.status, reply.body.code], [409, "lease_lost"]);
    assert.match(
      (await untilEvent(id, "sync_lost")).message,
      /another writes it now or has published a newer version: another writes/,
    );
    assert.match((await stop("stolen")).body.message, /not stopped yet: .*another writes workspace/);
    assert.equal((await stop("stolen", "?force=1")).body.message, "Mags job stopped");
    assert.match((await untilEvent(id, "changes_discarded")).message, /another writes workspace/);
  });
});

describe("a stop while the store is away", () => {
  it("says that it waits, keeps the job and what changed, and ends it when the store is back", async () => {
    const id = await write(SYNCED("waits"), "dear");
    plane.node.storeAway("the store is away");
    for (let n = 0; n < 2; n++) {
      const reply = await stop("waits");
      assert.deepEqual([reply.status, reply.body.success], [200, true]);
      for (const words of ["not stopped yet", "the store is away", "mags stop --force waits"])
        assert.ok(reply.body.message.includes(words), reply.body.message);
    }
    assert.equal((await statusOf(id)).status, "running");
    assert.equal((await eventNames(id)).filter((name) => name === "stop_waits").length, 1);
    assert.match((await untilEvent(id, "stop_waits")).message, /the store is away/);
    isRefused(await post(SYNCED("waits")), 409, "already exists", "in use", "the store is away", "--force");
    isRefused(await post({ workspace_id: "waits" }), 409, "not synced yet");
    plane.node.storeAway(null);
    plane.plane.nudge();
    await untilStatus(id, "completed");
    await untilScriptOver(await submit(SYNCED("waits")));
    assert.equal(content(), "dear");
    await stop("waits");
  });

  it("waits also for what fails in another way", async () => {
    const inner = createSimulatedNode();
    let fails = true;
    const releaseSandbox: typeof inner.releaseSandbox = async (id, options) => {
      if (fails && !options.discard) throw new Error("the operation was aborted");
      await inner.releaseSandbox(id, options);
    };
    await using own = await startTestPlane(await server.database(), { node: { ...inner, releaseSandbox } });
    const mine = sandboxTests(() => own);
    const id = await mine.submit(SYNCED("odd"));
    await mine.untilScriptOver(id);
    const reply = await mine.call("POST", `${JOBS}/odd/stop`);
    assert.match(reply.body.message, /not stopped yet: .*\(it took too long, or failed otherwise\)/);
    fails = false;
    await mine.call("POST", `${JOBS}/odd/stop`);
    assert.equal((await mine.statusOf(id)).status, "completed");
  });

  it("is over soon with force, also where a sync hangs", async () => {
    const inner = createSimulatedNode();
    const releaseSandbox: typeof inner.releaseSandbox = async (id, options) => {
      if (options.discard) await inner.releaseSandbox(id, options);
      else await new Promise(() => {});
    };
    await using own = await startTestPlane(await server.database(), { node: { ...inner, releaseSandbox } });
    const mine = sandboxTests(() => own);
    const id = await mine.submit(SYNCED("hung"));
    await mine.untilScriptOver(id);
    assert.equal((await mine.call("POST", `${JOBS}/hung/stop?force=1`)).body.message, "Mags job stopped");
    assert.match((await mine.untilEvent(id, "changes_discarded")).message, /takes longer than 5 s/);
  });

  it("drops what is not synced with force, and says so", async () => {
    await makeSynced("forced", "kept");
    const { last_synced_at: syncedAt } = await listed("forced");
    const id = await write(SYNCED("forced"), " lost");
    plane.node.storeAway("the store is away");
    assert.equal((await stop("forced")).body.success, true);
    assert.equal((await stop("forced", "?force=true")).body.message, "Mags job stopped");
    assert.equal((await statusOf(id)).status, "completed");
    const event = await untilEvent(id, "changes_discarded");
    assert.deepEqual([event.data.behind_bytes, event.data.version], [5, 1]);
    assert.equal((await listed("forced")).last_synced_at, syncedAt);
    plane.node.storeAway(null);
    await untilScriptOver(await submit(SYNCED("forced")));
    assert.equal(content(), "kept");
    assert.equal((await stop("forced", "?force=1")).body.message, "Mags job stopped");
    assert.ok(!(await eventNames("forced")).includes("changes_discarded"));
  });

  it("holds for a VM that is only kept, by its name", async () => {
    plane.node.hold();
    const id = await submit(SYNCED("orphan"));
    plane.node.release();
    await untilScriptOver(id);
    plane.node.write(newestSandbox(), "x");
    const heir = await submit({ ...SYNCED("orphan"), script: "fail no" });
    await untilScriptOver(heir);
    await stop("orphan");
    assert.equal((await listed("orphan")).version, 1);
  });
});
