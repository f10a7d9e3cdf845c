import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { mountSmallDisk, type SmallDisk, waitFor } from "@mags/test-kit";
import { untilPrinted } from "./harness/beside.ts";
import { startServer, type TestServer } from "./harness/server.ts";
import { GO, tell, UNTIL_TOLD } from "./harness/told.ts";
import { untilParkedOnly } from "./harness/traces.ts";

const DISK_BYTES = 1024 ** 3;
const POOL = 3;
const JOBS = "/api/v1/mags-jobs";

let disk: SmallDisk;
let server: TestServer;
before(async () => {
  disk = await mountSmallDisk(DISK_BYTES);
  // As many as there are at least: what was asked for lately makes it no larger.
  server = await startServer({ dataDir: join(disk.path, "d"), node: { pool: { min_idle: POOL, max_idle: POOL } } });
});
after(async () => {
  await disk.makeRoom();
  await server?.[Symbol.asyncDispose]();
  await disk[Symbol.asyncDispose]();
});

// What one test leaves must not be the next one's.
afterEach(() => disk.makeRoom());

/** A VM that is being made when the disk gets full gives its room back a little later. */
async function fillDisk(): Promise<void> {
  await server.poolFilled(POOL);
  await disk.fill();
}

const submit = (script: string) => server.api.call("POST", JOBS, { type: "inline", persistent: false, script });
const whenTold = (script: string) => `echo begun; ${UNTIL_TOLD}; ${script}`;
const DATABASE_FULL = /the database's disk is full: make room/;

/** Resolves when a VM stands still in the middle of a write: its QEMU takes next to no processor time any more. */
async function untilWaiting(id: string): Promise<void> {
  const pid = await server.qemuPid((await server.status(id)).vm_id ?? "");
  const ticks = async () => {
    const fields = (await readFile(`/proc/${pid}/stat`, "latin1")).split(") ").at(-1)?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]); // user and system time
  };
  let before = Number.NaN;
  const stands = async () => {
    const now = await ticks();
    // It tries again each second, which takes up to a tenth of what a VM takes that makes something to write.
    const still = now - before <= 40;
    before = now;
    return still;
  };
  await waitFor(stands, { what: "the VM to wait", deadlineMs: 60_000, intervalMs: 3_000 });
}

/** Resolves when the script of a job that stays has ended. */
async function untilScriptOver(id: string): Promise<void> {
  const isOver = async () => (await server.status(id)).exit_code === 0;
  await waitFor(isOver, { what: `the end of the script of ${id}`, deadlineMs: 60_000 });
}

/** Resolves when `mags status` says what the VM waits for. */
async function untilSaidToWait(id: string): Promise<void> {
  const isSaid = async () => /^Waits: +the host's disk is full/m.test((await server.mags(["status", id])).text);
  await waitFor(isSaid, { what: "the status to say so", deadlineMs: 60_000, intervalMs: 500 });
}

const events = async (id: string) => (await server.mags(["events", id])).text;

describe("a data directory whose disk is full", () => {
  it("tells each job what became of it, ends nothing that needs no room, and serves again when there is some", async () => {
    await server.poolFilled(POOL);
    const { pid } = await server.serverStatus();
    const quiet = await server.submit({ script: whenTold("echo end; exit 3") });
    const loud = await server.submit({ script: whenTold("head -c 3M /dev/urandom; exit 4") });
    const writer = await server.submit({
      script: whenTold("head -c 50M /dev/urandom > /root/data; sync && echo written; exit 5"),
    });
    for (const id of [quiet, loud, writer]) await untilPrinted(server, id, "begun");
    await fillDisk();

    // Not streamed: that would need room for the command's own output.
    const told = (id: string) => server.api.call("POST", `${JOBS}/${id}/exec`, { command: `touch ${GO}` });
    await told(loud); // its VM may end before the command does
    const { status, body } = await told(writer);
    assert.equal(status, 200, JSON.stringify(body));
    const failed = await server.ended(loud);
    assert.equal(failed.status, "error");
    assert.match(failed.error_message ?? "", /its output could not be stored: .*full/);
    await untilWaiting(writer);
    disk.takeRest();
    const large = await submit(`# ${randomBytes(400_000).toString("hex")}\nexit 6`);
    assert.equal(large.status, 503);
    assert.match((large.body as { error: string }).error, DATABASE_FULL);
    // Whether a small row finds room in a page that the database has already is its luck.
    const small = await submit("echo out; exit 7");
    if (small.status === 202) {
      const unstarted = await server.ended((small.body as { request_id: string }).request_id);
      assert.equal(unstarted.status, "error");
      assert.match(unstarted.error_message ?? "", /disk.* full/);
    } else {
      assert.equal(small.status, 503, JSON.stringify(small.body));
      assert.match((small.body as { error: string }).error, DATABASE_FULL);
    }
    assert.equal((await server.status(writer)).status, "running");

    await disk.makeRoom();
    assert.equal((await server.ended(writer)).exit_code, 5);
    assert.equal((await server.mags(["logs", writer])).text, "begun\nwritten\n");
    // The database may have had no room for it before.
    assert.ok((await events(writer)).includes("the host's disk is full: the VM waits"));
    await tell(server, quiet);
    assert.equal((await server.ended(quiet)).exit_code, 3);
    assert.equal((await server.mags(["logs", quiet])).text, "begun\nend\n");
    await server.poolFilled(POOL);
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    assert.equal((await server.serverStatus()).pid, pid);
    assert.equal((await server.ended(await server.submit({ script: "exit 8" }))).exit_code, 8);
    await untilParkedOnly(server);
  });

  it("lets a VM that stays run on when there is no room for its memory, and sleep when there is some", async () => {
    const id = await server.submit({ script: "echo here >/root/here; sync; sleep infinity", persistent: true });
    await server.running(id);
    const cat = async () =>
      (await server.mags(["exec", id, "cat /root/here; cat /proc/sys/kernel/random/boot_id"])).text;
    const before = await cat();
    assert.match(before, /^here\n/);
    await fillDisk();
    const refused = await server.api.call("POST", `${JOBS}/${id}/sleep`);
    assert.equal(refused.status, 503, JSON.stringify(refused.body));
    assert.match((refused.body as { error: string }).error, /could not be put to sleep and runs on: .*(full|space)/i);
    await disk.makeRoom();
    assert.equal(await cat(), before);
    assert.equal((await server.api.call("POST", `${JOBS}/${id}/sleep`)).status, 200);
    assert.equal((await server.status(id)).status, "sleeping");
    assert.equal(await cat(), before);
    await server.mags(["stop", id]);
    await untilParkedOnly(server);
  });

  it("has a synced VM that waits outlive a stop of all that cannot keep its memory, and go on", async () => {
    const script = "head -c 4M /dev/urandom >/root/old; sync";
    const id = await server.submit({ script, persistent: true, workspace_id: "w" });
    await untilScriptOver(id);
    assert.equal((await server.mags(["sync", "w"])).text, "Workspace w synced as version 1\n");
    await fillDisk();
    const copying = server.mags(["exec", id, "cp /root/old /root/new; sync; cmp /root/old /root/new && echo copied"]);
    await untilSaidToWait(id);
    const refused = await server.mags(["exec", id, "true"]);
    assert.equal(refused.exitCode, 1);
    assert.match(refused.errors, /disk is full/);
    assert.match((await server.mags(["sync", "w"])).errors, /the host's disk is full: free some room under \//);

    disk.takeRest();
    const stopped = await server.magsd("stop", "--all");
    assert.equal(stopped.exitCode, 1);
    assert.match(
      stopped.errors,
      /no room for what its VMs have in memory, and they go on \(1\): free some room under \//,
    );

    await disk.makeRoom();
    await server.start();
    const copied = await copying;
    assert.equal(copied.text, "copied\n", copied.errors);
    assert.match(copied.errors, /mags: the host's disk is full: the VM waits/);
    assert.equal((await server.mags(["sync", "w"])).exitCode, 0);
    await server.mags(["stop", "w"]);
    await untilParkedOnly(server);
  });
});
