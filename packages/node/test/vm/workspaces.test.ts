import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { call, controlSocketOf } from "@mags/block-server";
import { silentLogger, systemClock } from "@mags/core";
import {
  type AccountId,
  type JobEnd,
  type JobStart,
  NO_UPLOADS,
  type NodeUpdate,
  newJobId,
  type SandboxId,
  type SandboxPolicy,
  type SandboxSpec,
  type SandboxUpdate,
  type SyncTarget,
  type VersionRef,
  type WorkspaceId,
  type WorkspaceVersion,
} from "@mags/domain";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { NodeConfig } from "../../src/config.ts";
import { type Node, openNode } from "../../src/open-node.ts";
import { removeNode } from "../../src/remove-node.ts";
import { blocksDirectory } from "../../src/workspaces/blocks.ts";
import { ARTIFACTS, blockServerOf } from "./support.ts";

const SIZE = { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 2, egress: "filtered" } as const;
const CONFIG = NodeConfig.parse({
  default_memory_mb: SIZE.memoryMiB,
  max_disk_gb: 20,
  uid_base: 1_947_000_000,
  pool: { min_idle: 1, max_idle: 1, slot_share: 1 },
  network: { prefix: "tws", uplink_range: "10.251.0.0/24" },
});

let temp: TempDir;
let node: Node;
let updates: NodeUpdate[] = [];
const options = () => ({ dataDirectory: temp.path, artifactsFile: ARTIFACTS, config: CONFIG });

async function begin(): Promise<void> {
  const deps = { uploads: NO_UPLOADS, clock: systemClock, log: silentLogger };
  const all = { ...options(), blockServer: blockServerOf(temp.path) };
  node = await openNode(deps, all, { signal: new AbortController().signal });
  node.onUpdate((update: NodeUpdate) => void updates.push(update));
}
before(async () => {
  temp = await makeTempDir();
  await begin();
});
after(async () => {
  for (const { sandboxId } of node?.observeSandboxes() ?? [])
    await node.releaseSandbox(sandboxId, { reason: "over", discard: true });
  for (const { jobId } of node?.observe() ?? []) await node.stop(jobId);
  await node?.close();
  await removeNode(options());
  await temp[Symbol.asyncDispose]();
});

const signal = AbortSignal.timeout(600_000);
const accountId = randomUUID() as AccountId;
const STAYS: SandboxPolicy = {
  ...{ idle: { action: "none", afterMs: 0 }, startupCommand: null, alwaysOn: false, egress: "filtered", syncTo: null },
};

function newTarget(name: string, forkedFrom: SyncTarget["forkedFrom"] = null): SyncTarget {
  return { accountId, workspaceId: randomUUID() as WorkspaceId, name, forkedFrom };
}
const refOf = ({ workspaceId }: SyncTarget, { seq, sha256 }: WorkspaceVersion): VersionRef => ({
  ...{ accountId, workspaceId, version: { seq, sha256 } },
});

async function sandboxWith(spec: Partial<SandboxSpec>, script = "true"): Promise<SandboxId> {
  const jobId = newJobId();
  const id = randomUUID() as SandboxId;
  const job: JobStart = {
    ...{ jobId, size: SIZE, command: { kind: "inline", script }, environment: {}, timeoutMs: null },
    sandbox: { id, exists: false, from: null, ...STAYS, ...spec },
    ...{ keepsAwake: false, fileIds: [] },
  };
  node.start(job);
  const end: JobEnd = await waitFor(() => node.observe().find((one) => one.jobId === jobId)?.end, {
    what: "the script's end",
    deadlineMs: 120_000,
  });
  assert.ok(end.kind === "exited" && end.exitCode === 0, JSON.stringify(end));
  return id;
}

async function run(id: SandboxId, command: string): Promise<string> {
  const request = { command, timeoutMs: 150_000, maxBytes: 1 << 20 };
  const { stdout, stderr, exitCode } = await node.exec(id, request, { signal });
  assert.equal(exitCode, 0, stderr.toString());
  return stdout.toString();
}

const of = (id: SandboxId) =>
  updates.filter((update): update is SandboxUpdate => update.type === "sandbox" && update.sandboxId === id);
const sync = (id: SandboxId) => node.syncSandbox(id, { reason: "request", signal });
const SUMS = "cd /root && find . -type f | sort | xargs sha256sum";

async function latest(target: SyncTarget): Promise<WorkspaceVersion> {
  const version = (await node.listVersions(target, { signal })).at(-1);
  assert.ok(version);
  return version;
}

describe("a synced sandbox", () => {
  it("waits for a store that is away, and goes on", async () => {
    const target = newTarget("patient");
    const id = await sandboxWith({ syncTo: target }, "head -c 6000000 /dev/urandom >/root/big");
    const sums = await run(id, SUMS);
    await node.releaseSandbox(id, { reason: "stop" });
    const version = await latest(target);
    const copy = await sandboxWith({ from: refOf(target, version), syncTo: target });
    await rm(join(blocksDirectory(temp.path), "cache"), { recursive: true });
    await rename(join(temp.path, "objects"), join(temp.path, "away"));
    await writeFile(join(temp.path, "objects"), "");
    const reading = run(copy, SUMS);
    await assert.rejects(sync(copy));
    await waitFor(() => of(copy).some(({ name }) => name === "sync_failed"), { what: "word of it" });
    await rm(join(temp.path, "objects"));
    await rename(join(temp.path, "away"), join(temp.path, "objects"));
    assert.equal(await reading, sums);
    const { seq } = await sync(copy);
    assert.equal(seq, version.seq + 1);
    await node.releaseSandbox(copy, { reason: "stop" });
  });

  it("is published, and restored in another microVM with all its files", async () => {
    const target = newTarget("project");
    const id = await sandboxWith(
      { syncTo: target },
      "mkdir -p /root/a/b; head -c 3000000 /dev/urandom >/root/a/b/c; echo x >/etc/mine",
    );
    const first = await sync(id);
    assert.deepEqual([first.seq, first.reason], [1, "promotion"]);
    await run(id, "head -c 500000 /dev/urandom >/root/second; rm /root/a/b/c; echo y >/etc/mine");
    const second = await sync(id);
    const sent = of(id).findLast(({ name }) => name === "synced")?.data;
    assert.ok(Number(sent?.sentBytes) < 4_000_000, JSON.stringify(sent));
    assert.deepEqual(await sync(id), second, "nothing has changed");
    const sums = await run(id, SUMS);

    const copy = await sandboxWith({ from: refOf(target, second) });
    assert.equal(await run(copy, SUMS), sums);
    assert.equal(await run(copy, "cat /etc/mine"), "y\n");
    const older = await sandboxWith({ from: refOf(target, first) });
    assert.equal(await run(older, "cat /etc/mine; stat -c %s /root/a/b/c"), "x\n3000000\n");
    for (const one of [copy, older]) await node.releaseSandbox(one, { reason: "test" });
    const versions = await node.listVersions(target, { signal });
    assert.deepEqual(
      versions.map(({ seq }) => seq),
      [1, 2],
    );

    await run(id, "echo last >/root/last");
    await node.releaseSandbox(id, { reason: "stop" });
    const last = await latest(target);
    assert.ok(last.seq > second.seq && last.reason === "stop");
    const again = await sandboxWith({ from: refOf(target, last), syncTo: target });
    assert.equal(await run(again, "cat /root/last"), "last\n");
    await run(again, "echo more >>/root/last");
    const next = await sync(again);
    assert.deepEqual([next.seq, next.reason], [last.seq + 1, "request"]);
    await node.releaseSandbox(again, { reason: "stop" });
  });

  it("is forked without the base being changed", async () => {
    const base = newTarget("base");
    const id = await sandboxWith({ syncTo: base }, "echo base >/root/f");
    const version = await sync(id);
    await node.releaseSandbox(id, { reason: "stop" });
    const { workspaceId, name } = base;
    const targets = [1, 2, 3].map((n) => newTarget(`fork-${n}`, { workspaceId, name, seq: version.seq }));
    const forks = await Promise.all(
      targets.map((target, n) => sandboxWith({ from: refOf(base, version), syncTo: target }, `echo ${n} >>/root/f`)),
    );
    for (const [n, fork] of forks.entries()) {
      assert.equal(await run(fork, "cat /root/f"), `base\n${n}\n`);
      const { seq, reason } = await sync(fork);
      assert.deepEqual([seq, reason], [1, "fork"]);
      await node.releaseSandbox(fork, { reason: "stop" });
    }
    const same = await sandboxWith({ from: refOf(base, version) });
    assert.equal(await run(same, "cat /root/f"), "base\n");
    await node.releaseSandbox(same, { reason: "test" });
  });

  it("sleeps and wakes, and is published again from what it was, without being compared", async () => {
    const target = newTarget("sleeper");
    const id = await sandboxWith({ syncTo: target }, "echo 1 >/root/n; head -c 2000000 /dev/urandom >/root/big");
    await node.sleepSandbox(id, { reason: "requested" });
    const [first] = await node.listVersions(target, { signal });
    assert.equal(first?.reason, "promotion");
    await node.wakeSandbox(id, { reason: "requested", signal });
    await run(id, "echo 2 >/root/n");
    await sync(id);
    const sent = of(id).findLast(({ name }) => name === "synced")?.data;
    assert.ok(Number(sent?.changedBytes) < 2_000_000, JSON.stringify(sent));
    await node.releaseSandbox(id, { reason: "stop" });
  });

  it("wakes cold after its QEMU was killed between a wake and a sync, and is published whole", async () => {
    const target = newTarget("killed");
    const id = await sandboxWith({ syncTo: target }, "echo 1 >/root/n; head -c 1000000 /dev/urandom >/root/big");
    await node.sleepSandbox(id, { reason: "requested" });
    await node.wakeSandbox(id, { reason: "requested", signal });
    await run(id, "echo 2 >/root/n; sync");
    const microVmId = node.observeSandboxes().find(({ sandboxId }) => sandboxId === id)?.microVmId;
    const pid = node.footprint().microVms.find((microVm) => microVm.id === microVmId)?.pid;
    assert.ok(pid);
    process.kill(pid, "SIGKILL");
    await waitFor(() => of(id).some(({ name }) => name === "vm_lost"), { what: "its loss" });
    assert.equal(await run(id, "cat /root/n"), "2\n");
    const sums = await run(id, SUMS);
    await node.releaseSandbox(id, { reason: "stop" });
    const copy = await sandboxWith({ from: refOf(target, await latest(target)) });
    assert.equal(await run(copy, SUMS), sums);
    await node.releaseSandbox(copy, { reason: "test" });
  });

  it("reads on after its block server was killed, and survives a restart of the node", async () => {
    const target = newTarget("tough");
    const id = await sandboxWith({ syncTo: target }, "head -c 4000000 /dev/urandom >/root/big");
    const sums = await run(id, SUMS);
    await node.releaseSandbox(id, { reason: "stop" });
    const version = await latest(target);
    const copy = await sandboxWith({ from: refOf(target, version), syncTo: target });
    const socket = controlSocketOf(blocksDirectory(temp.path));
    const { pid } = await call(socket, "hello", {}, { signal });
    process.kill(pid, "SIGKILL");
    assert.equal(await run(copy, SUMS), sums);
    process.kill((await call(socket, "hello", {}, { signal })).pid, "SIGKILL");
    await sync(copy);
    await node.close();
    updates = [];
    await begin();
    await run(copy, "echo after >/root/after");
    const after = await sync(copy);
    assert.equal(after.seq > version.seq, true);
    await node.releaseSandbox(copy, { reason: "stop" });
    const last = await sandboxWith({ from: refOf(target, after) });
    assert.equal(await run(last, "cat /root/after"), "after\n");
    await node.releaseSandbox(last, { reason: "test" });
  });
});
