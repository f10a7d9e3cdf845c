import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { untilPrinted } from "./harness/beside.ts";
import { startServer, type TestServer } from "./harness/server.ts";
import { untilParkedOnly } from "./harness/traces.ts";

const DISK_BYTES = 1024 ** 3;
const JOBS = "/api/v1/mags-jobs";

let temp: TempDir;
let disk: string;
let server: TestServer;
before(async () => {
  temp = await makeTempDir();
  disk = join(temp.path, "disk");
  const image = join(temp.path, "image");
  await mkdir(disk);
  await writeFile(image, "");
  await truncate(image, DISK_BYTES);
  execFileSync("mkfs.ext4", ["-q", "-m", "0", "-F", image]);
  execFileSync("mount", ["-o", "loop", image, disk]);
  server = await startServer({ dataDir: join(disk, "d") });
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  execFileSync("umount", [disk]);
  await temp[Symbol.asyncDispose]();
});

const filler = () => join(disk, "filler");

/** Leaves no free block. */
async function fillDisk(): Promise<void> {
  execFileSync("sync", ["-f", disk]);
  const { bavail, bsize } = await statfs(disk);
  execFileSync("fallocate", ["-l", String(bavail * bsize - 1024 ** 2), filler()]);
  takeRest();
}

/** What is left, or was freed since, is taken as it comes. */
function takeRest(): void {
  execFileSync("sh", ["-c", `cat /dev/zero >> ${filler()}-2; sync -f ${disk}; cat /dev/zero >> ${filler()}-2; true`], {
    stdio: "ignore",
  });
}

const submit = (script: string) => server.api.call("POST", JOBS, { type: "inline", persistent: false, script });
const whenTold = (script: string) => `echo begun; while [ ! -e /dev/shm/go ]; do sleep 0.1; done; ${script}`;
const DATABASE_FULL = /the database's disk is full: make room/;

/** Resolves when a VM stands still in the middle of a write: its QEMU takes no processor time any more. */
async function untilWaiting(id: string): Promise<void> {
  const pid = await server.qemuPid((await server.status(id)).vm_id ?? "");
  const ticks = async () => {
    const fields = (await readFile(`/proc/${pid}/stat`, "latin1")).split(") ").at(-1)?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]); // user and system time
  };
  let before = Number.NaN;
  const stands = async () => {
    const now = await ticks();
    // It tries again each second, which takes next to nothing.
    const still = now - before <= 5;
    before = now;
    return still;
  };
  await waitFor(stands, { what: "the VM to wait", deadlineMs: 60_000, intervalMs: 3_000 });
}
const events = async (id: string) => (await server.mags(["events", id])).text;

describe("a data directory whose disk is full", () => {
  it("tells each job what became of it, ends nothing that needs no room, and serves again when there is some", async () => {
    await server.poolFilled(3);
    const { pid } = await server.serverStatus();
    const quiet = await server.submit({ script: whenTold("echo end; exit 3") });
    const loud = await server.submit({ script: whenTold("head -c 3M /dev/urandom; exit 4") });
    const writer = await server.submit({
      script: whenTold("head -c 50M /dev/urandom > /root/data; sync && echo written; exit 5"),
    });
    for (const id of [quiet, loud, writer]) await untilPrinted(server, id, "begun");
    await server.poolFilled(2);
    await fillDisk();

    for (const id of [loud, writer]) assert.equal((await server.mags(["exec", id, "touch /dev/shm/go"])).exitCode, 0);
    const failed = await server.ended(loud);
    assert.equal(failed.status, "error");
    assert.match(failed.error_message ?? "", /its output could not be stored: .*full/);
    await untilWaiting(writer);
    takeRest();
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

    for (const file of [filler(), `${filler()}-2`]) await rm(file);
    assert.equal((await server.ended(writer)).exit_code, 5);
    assert.equal((await server.mags(["logs", writer])).text, "begun\nwritten\n");
    // The database may have had no room for it before.
    assert.ok((await events(writer)).includes("the host's disk is full: the VM waits"));
    assert.equal((await server.mags(["exec", quiet, "touch /dev/shm/go"])).exitCode, 0);
    assert.equal((await server.ended(quiet)).exit_code, 3);
    assert.equal((await server.mags(["logs", quiet])).text, "begun\nend\n");
    await server.poolFilled(3);
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
    for (const file of [filler(), `${filler()}-2`]) await rm(file);
    assert.equal(await cat(), before);
    assert.equal((await server.api.call("POST", `${JOBS}/${id}/sleep`)).status, 200);
    assert.equal((await server.status(id)).status, "sleeping");
    assert.equal(await cat(), before);
    await server.mags(["stop", id]);
    await untilParkedOnly(server);
  });
});
