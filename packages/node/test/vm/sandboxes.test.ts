import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import {
  type AccountId,
  type ExecId,
  type GuestId,
  type JobEnd,
  type JobId,
  type JobStart,
  NO_UPLOADS,
  type NodeUpdate,
  newJobId,
  type SandboxId,
  type SandboxPolicy,
  type SandboxSpec,
  type SandboxUpdate,
} from "@mags/domain";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { NodeConfig } from "../../src/config.ts";
import type { Node } from "../../src/node.ts";
import { openNode } from "../../src/open-node.ts";
import { removeNode } from "../../src/remove-node.ts";
import { ARTIFACTS, blockServerOf } from "./support.ts";

const SIZE = { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 2, egress: "filtered" } as const;
const CONFIG = NodeConfig.parse({
  default_memory_mb: SIZE.memoryMiB,
  max_disk_gb: 20,
  uid_base: 1_946_000_000,
  pool: { min_idle: 1, max_idle: 1, slot_share: 0 },
  network: { prefix: "tsb", uplink_range: "10.252.0.0/24" },
});
const COUNTER = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";

let temp: TempDir;
let node: Node;
let updates: NodeUpdate[] = [];
const options = () => ({ dataDirectory: temp.path, artifactsFile: ARTIFACTS, config: CONFIG });

async function begin(): Promise<void> {
  node = await openNode(
    { uploads: NO_UPLOADS, clock: systemClock, log: silentLogger },
    { ...options(), blockServer: blockServerOf(temp.path) },
    {
      signal: new AbortController().signal,
    },
  );
  node.onUpdate((update: NodeUpdate) => void updates.push(update));
}
before(async () => {
  temp = await makeTempDir();
  await begin();
});
after(async () => {
  for (const { sandboxId } of node?.observeSandboxes() ?? []) await node.releaseSandbox(sandboxId, { reason: "over" });
  for (const { jobId } of node?.observe() ?? []) await node.stop(jobId);
  await node?.close();
  await removeNode(options());
  await temp[Symbol.asyncDispose]();
});

const signal = AbortSignal.timeout(600_000);
const STAYS: SandboxPolicy = {
  ...{ idle: { action: "none", afterMs: 0 }, startupCommand: null, alwaysOn: false, egress: "filtered", syncTo: null },
};

function start(script: string, spec: Partial<SandboxSpec> = {}): { jobId: JobId; id: SandboxId } {
  const jobId = newJobId();
  const id = (spec.id ?? randomUUID()) as SandboxId;
  const job: JobStart = {
    jobId,
    size: SIZE,
    command: { kind: "inline", script },
    environment: { COLOUR: "green" },
    timeoutMs: null,
    sandbox: { id, exists: false, from: null, ...STAYS, ...spec },
    keepsAwake: false,
    fileIds: [],
  };
  node.start(job);
  return { jobId, id };
}

const observed = (jobId: JobId) => node.observe().find((job) => job.jobId === jobId);
const stateOf = (id: SandboxId) => node.observeSandboxes().find(({ sandboxId }) => sandboxId === id)?.state;
const endOf = (jobId: JobId): Promise<JobEnd> =>
  waitFor(() => observed(jobId)?.end, { what: "the end", deadlineMs: 180_000 });
const untilState = (id: SandboxId, state: string | undefined) =>
  waitFor(() => stateOf(id) === state, { what: `the sandbox to be ${state}`, deadlineMs: 180_000 });
const of = (id: SandboxId) =>
  updates.filter((update): update is SandboxUpdate => update.type === "sandbox" && update.sandboxId === id);
const last = (id: SandboxId, name: string) => of(id).findLast((update) => update.name === name);

async function run(id: GuestId, command: string): Promise<string> {
  const { stdout, stderr, exitCode } = await node.exec(
    id,
    { command, timeoutMs: 150_000, maxBytes: 1 << 20 },
    { signal },
  );
  assert.equal(exitCode, 0, stderr.toString());
  return stdout.toString();
}

/** A sandbox whose script has ended. */
async function idleSandbox(spec: Partial<SandboxSpec> = {}): Promise<SandboxId> {
  const { jobId, id } = start("echo made >/root/made; sync", spec);
  const end = await endOf(jobId);
  assert.ok(end.kind === "exited" && end.exitCode === 0, JSON.stringify(end));
  await untilState(id, "running");
  return id;
}

async function killVm(id: SandboxId): Promise<void> {
  const microVmId = node.observeSandboxes().find(({ sandboxId }) => sandboxId === id)?.microVmId;
  const pid = node.footprint().microVms.find((microVm) => microVm.id === microVmId)?.pid;
  assert.ok(pid);
  process.kill(pid, "SIGKILL");
}

describe("a sandbox", () => {
  it("sleeps over a restart of the server, with its script, and its network works after the wake", async () => {
    const { jobId, id } = start(COUNTER);
    await untilState(id, "running");
    await node.sleepSandbox(id, { reason: "requested" });
    await node.close();
    updates = [];
    await begin();
    assert.equal(stateOf(id), "sleeping");
    assert.equal(observed(jobId)?.state, "running");
    const [uuid, ping] = [await run(id, "cat /proc/sys/kernel/random/uuid"), await run(id, "ip -4 route show default")];
    assert.match(uuid, /^[0-9a-f-]{36}\n$/);
    assert.match(ping, /default via/);
    assert.equal(last(id, "woke")?.data.kind, "warm");
    await node.close();
    await begin();
    assert.equal(stateOf(id), "running");
    assert.equal(observed(jobId)?.state, "running");
    await node.releaseSandbox(id, { reason: "test" });
    assert.equal(observed(jobId)?.end?.kind, "stopped");
  });

  for (const [what, spoil, why] of [
    [
      "damaged memory",
      async (id: SandboxId) => {
        await using file = await open(join(temp.path, "sandboxes", id, "memory"), "r+");
        const piece = Buffer.alloc(64 * 1024);
        let at = 30 * 1024 * 1024;
        while (piece.every((byte) => byte === 0)) {
          at += piece.length;
          await file.read(piece, 0, piece.length, at);
        }
        const first = piece.findIndex((byte) => byte !== 0);
        await file.write(Buffer.from([(piece[first] ?? 0) ^ 1]), 0, 1, at + first);
      },
      /checksum/,
    ],
    [
      "memory of another build",
      async (id: SandboxId) => {
        const path = join(temp.path, "sandboxes", id, "sandbox.json");
        await writeFile(
          path,
          (await readFile(path, "utf8")).replace(/"runtimeDigest":"[^"]+"/, '"runtimeDigest":"other"'),
        );
      },
      /another version of QEMU/,
    ],
    [
      "a disk that was changed",
      async (id: SandboxId) => {
        await using file = await open(join(temp.path, "sandboxes", id, "disk.qcow2"), "r+");
        await file.utimes(1, 1);
      },
      /disk was changed/,
    ],
  ] as const)
    it(`wakes cold with ${what}, and says why`, async () => {
      const id = await idleSandbox();
      await node.sleepSandbox(id, { reason: "requested" });
      await node.close();
      await spoil(id);
      await begin();
      assert.equal(await run(id, "cat /root/made"), "made\n");
      const woke = last(id, "woke");
      assert.equal(woke?.data.kind, "cold");
      assert.match(String(woke?.data.coldBecause), why);
      await node.releaseSandbox(id, { reason: "test" });
    });

  it("goes on with a growth that was cut off, and needs nothing of a sleep that was", async () => {
    const id = await idleSandbox();
    await node.close();
    const directory = join(temp.path, "sandboxes", id);
    const path = join(directory, "sandbox.json");
    const record = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...record, size: { ...record.size, diskGiB: 4 } }));
    await writeFile(join(directory, "memory"), "cut off");
    await writeFile(join(temp.path, "vms", record.microVmId, "jail", "memory"), "cut off");
    await begin();
    await waitFor(() => last(id, "resized")?.data.diskGiB === 4, { what: "the growth", deadlineMs: 30_000 });
    assert.ok(Number(await run(id, "df --output=size -B1M / | tail -1")) > 3_600);
    await node.sleepSandbox(id, { reason: "requested" });
    assert.equal(await run(id, "cat /root/made"), "made\n");
    assert.equal(last(id, "woke")?.data.kind, "warm");
    await node.releaseSandbox(id, { reason: "test" });
  });
});

// None of these ends the node, which all of them share.
describe("one of several sandboxes", { concurrency: 3 }, () => {
  it("stays after its script, runs the next one in the same guest, and is gone when it is released", async () => {
    const id = await idleSandbox();
    assert.equal(await run(id, "cat /root/made"), "made\n");
    const bootId = await run(id, "cat /proc/sys/kernel/random/boot_id");
    const { jobId } = start("cat /proc/sys/kernel/random/boot_id >/root/boot; exit 7", { id, exists: true });
    const end = await endOf(jobId);
    assert.ok(end.kind === "exited" && end.exitCode === 7, JSON.stringify(end));
    assert.equal(await run(id, "cat /root/boot"), bootId);
    await node.releaseSandbox(id, { reason: "test" });
    assert.equal(stateOf(id), undefined);
    assert.equal(last(id, "released")?.state, "gone");
    await assert.rejects(run(id, "true"), /not running/);
    assert.equal(existsSync(join(temp.path, "sandboxes", id)), false);
  });

  it("sleeps and wakes with its memory: processes, open files and output go on, the clock is right, many wakes are one", async (t) => {
    const { jobId, id } = start(COUNTER);
    await untilState(id, "running");
    await run(
      id,
      "exec setsid sh -c 'exec 9>/root/held; rm /root/held; while :; do date +%s >&9; sleep 1; done' >/dev/null 2>&1 & sleep 1",
    );
    await node.sleepSandbox(id, { reason: "requested" });
    assert.equal(stateOf(id), "sleeping");
    const slept = last(id, "slept");
    t.diagnostic(`slept: ${JSON.stringify(slept?.data)}`);
    assert.equal(slept?.microVmId, null);
    await node.sleepSandbox(id, { reason: "requested" });
    assert.equal(of(id).filter(({ name }) => name === "slept").length, 1);

    const tail = await node.openLog(jobId, () => {});
    const outputOf = async () => {
      let text = "";
      for (let from = 1; ; ) {
        const records = await tail.read(from);
        if (records.length === 0) return text;
        text += Buffer.concat(records.map(({ bytes }) => bytes)).toString();
        from = (records.at(-1)?.index ?? from) + 1;
      }
    };
    const before = (await outputOf()).trim().split("\n").length;
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const answers = await Promise.all(Array.from({ length: 20 }, () => run(id, "date +%s")));
    for (const answer of answers) assert.ok(Math.abs(Number(answer) - Date.now() / 1000) < 10, answer);
    assert.equal(of(id).filter(({ name }) => name === "woke").length, 1);
    const woke = last(id, "woke");
    t.diagnostic(`woke: ${JSON.stringify(woke?.data)}`);
    assert.deepEqual([woke?.data.kind, woke?.data.reason, woke?.state], ["warm", "exec", "running"]);
    const lines = await waitFor(
      async () => {
        const now = (await outputOf()).trim().split("\n");
        return now.length > before + 5 ? now : undefined;
      },
      { what: "more output" },
    );
    assert.deepEqual(
      lines,
      lines.map((_, n) => String(n + 1)),
    );
    assert.match(await run(id, "ls -l /proc/*/fd 2>/dev/null | grep -c 'held (deleted)'"), /^[1-9]/);
    assert.equal(await run(id, "nice"), "0\n"); // the agent, who starts them, was urgent before the sleep
    await tail.close();
    await node.stop(jobId);
    assert.equal((await endOf(jobId)).kind, "stopped");
    await node.releaseSandbox(id, { reason: "test" });
  });

  it("keeps its disk when its microVM is lost, wakes cold, and then runs its startup command", async () => {
    const startupCommand = "echo $COLOUR >>/root/started";
    const { jobId, id } = start("echo kept >/root/kept; sync; touch /root/synced; sleep 1000", { startupCommand });
    await untilState(id, "running");
    await waitFor(async () => (await run(id, "ls /root")).includes("synced"), { what: "the file" });
    await killVm(id);
    await untilState(id, "sleeping");
    assert.equal((await endOf(jobId)).kind, "lost");
    assert.match(String(last(id, "vm_lost")?.data.reason), /QEMU/);
    assert.equal(await run(id, "cat /root/kept"), "kept\n");
    const woke = last(id, "woke");
    assert.equal(woke?.data.kind, "cold");
    assert.match(String(woke?.data.coldBecause), /the VM was lost/);
    await waitFor(async () => (await run(id, "cat /root/started || true")) === "green\n", { what: "the command" });
    await node.releaseSandbox(id, { reason: "test" });
  });

  it("is made anew at once when it is always on", async () => {
    const id = await idleSandbox({ alwaysOn: true });
    await killVm(id);
    await waitFor(() => last(id, "woke")?.data.reason === "no_sleep", { what: "the wake", deadlineMs: 60_000 });
    assert.equal(await run(id, "cat /root/made"), "made\n");
    await node.releaseSandbox(id, { reason: "test" });
  });

  it("grows awake and asleep, and never shrinks", async () => {
    const id = await idleSandbox();
    const size = async () => Number(await run(id, "df --output=size -B1M / | tail -1"));
    assert.ok((await size()) < 2_100);
    await node.growSandbox(id, { diskGiB: 3 });
    const three = await size();
    assert.ok(three > 2_700 && three < 3_100, `${three}`);
    await node.sleepSandbox(id, { reason: "requested" });
    await node.growSandbox(id, { diskGiB: 6 });
    assert.equal(stateOf(id), "sleeping");
    const six = await size();
    assert.ok(six > 5_500, `${six}`);
    assert.equal(last(id, "woke")?.data.kind, "warm");
    await assert.rejects(node.growSandbox(id, { diskGiB: 5 }), /cannot be made smaller/);
    await run(id, "dd if=/dev/zero of=/root/large bs=1M count=4500 status=none && sync");
    await node.sleepSandbox(id, { reason: "requested" });
    assert.equal(await run(id, "stat -c %s /root/large"), `${4500 * 1024 * 1024}\n`);
    await node.releaseSandbox(id, { reason: "test" });
  });

  it("holds nobody up with a startup command that never begins, and can be released meanwhile", async () => {
    const id = await idleSandbox({ startupCommand: "true" });
    await run(
      id,
      "cp /bin/sleep /usr/local/sleep && mv /bin/sh /bin/sh.real && printf '#!/usr/local/sleep 1000' >/bin/sh && chmod +x /bin/sh; sync",
    ).catch(() => {});
    await killVm(id);
    await untilState(id, "sleeping");
    await node.wakeSandbox(id, { reason: "requested", signal });
    const other = await idleSandbox();
    await node.releaseSandbox(other, { reason: "test" });
    await node.releaseSandbox(id, { reason: "test" });
    assert.equal(stateOf(id), undefined);
  });

  it("that is released before it is there never runs", async () => {
    const { jobId, id } = start("echo ran; sleep 100");
    await node.releaseSandbox(id, { reason: "test" });
    assert.equal((await endOf(jobId)).kind, "stopped");
    assert.equal(stateOf(id), undefined);
  });

  it("stays awake as long as its script prints, and one that is not kept goes also when it was lost", async () => {
    const { jobId, id } = start("while :; do echo on; sleep 0.5; done", { idle: { action: "sleep", afterMs: 3_000 } });
    await untilState(id, "running");
    const lost = await idleSandbox({ idle: { action: "release", afterMs: 2_000 } });
    await killVm(lost);
    await untilState(lost, undefined);
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    assert.equal(stateOf(id), "running");
    await node.releaseSandbox(id, { reason: "test" });
    assert.equal((await endOf(jobId)).kind, "stopped");
  });

  it("is kept awake by what passes on an SSH connection, not by a command that only stands open", async () => {
    const id = await idleSandbox({ idle: { action: "sleep", afterMs: 6_000 } });
    const attachment = await node.startExec({
      ...{
        execId: randomUUID() as ExecId,
        guest: id,
        accountId: randomUUID() as AccountId,
        terminal: null,
        stdin: true,
      },
      command: "for n in 1 2 3 4 5 6 7 8 9; do echo $n; sleep 1; done; echo over; exec sleep 4000",
      ...{ environment: {}, cwd: null, timeoutMs: null, leavesGroup: true, endsWithClient: true },
    });
    let output = "";
    while (!output.includes("over")) {
      for (const { offset, bytes } of await attachment.read()) {
        output += bytes.toString();
        attachment.acknowledge(offset + bytes.length);
      }
      assert.equal(stateOf(id), "running");
    }
    await untilState(id, "sleeping");
    assert.equal(last(id, "slept")?.data.reason, "idle");
    assert.equal(attachment.end, null);
    // Its client leaves: it ends as soon as the guest is awake.
    attachment.detach();
    await node.setSandboxPolicy(id, STAYS);
    await waitFor(async () => (await run(id, "pgrep -xf 'sleep 4000' | wc -l")) === "0\n", { what: "its end" });
    await node.releaseSandbox(id, { reason: "test" });
  });

  it("falls asleep when it is idle, not while work is done, and one without that is released", async () => {
    const sleeper = await idleSandbox({ idle: { action: "sleep", afterMs: 3_000 } });
    const brief = await idleSandbox({ idle: { action: "release", afterMs: 3_000 } });
    const busy = node.exec(sleeper, { command: "sleep 6", timeoutMs: 20_000, maxBytes: 100 }, { signal });
    await untilState(brief, undefined);
    assert.equal(last(brief, "released")?.data.reason, "idle");
    assert.equal((await busy).exitCode, 0);
    assert.equal(stateOf(sleeper), "running");
    await untilState(sleeper, "sleeping");
    assert.equal(last(sleeper, "slept")?.data.reason, "idle");
    await node.setSandboxPolicy(sleeper, STAYS);
    await node.wakeSandbox(sleeper, { reason: "requested", signal });
    await node.releaseSandbox(sleeper, { reason: "test" });
  });
});
