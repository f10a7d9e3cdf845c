import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { AppError, createGate, silentLogger, systemClock } from "@mags/core";
import { type JobStart, type NodeUpdate, newJobId, type SandboxId } from "@mags/domain";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { createGuests } from "../guests/guests.ts";
import { createLogStore } from "../logs/log-store.ts";
import { createCapacity } from "./capacity.ts";
import { createJobRunner, type JobRunnerDeps } from "./job-runner.ts";

const SIZE = { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 8, egress: "none" } as const;
const NODES = [{ "node-name": "disk1", drv: "qcow2", image: { "virtual-size": 1 } }];
const never = new Promise<never>(() => {});

/** A job that begins as a version of a workspace, on a node with one parked clone and one place at its gate. */
function forkOn(
  logs: string,
  { attached, create, versions }: Record<"attached" | "create" | "versions", () => Promise<unknown>>,
) {
  const ended = Promise.withResolvers<string>();
  const asked: string[] = [];
  const gate = createGate(1);
  const work = async () => {};
  const qmp = { query: async () => NODES, execute: work };
  const microVm = {
    ...{ id: "vm", index: 1, uid: 1, paths: { jail: "/" }, lost: never, gone: new AbortController().signal },
    machine: { qmp, insertDisk: work, resume: work },
  };
  const agent = {
    attachDisk() {
      asked.push("attachDisk");
      return attached();
    },
    ...{ grow: work, ident: work, time: async () => never },
  };
  const clones = [{ microVm, agent, mounted: false }];
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    serve: async () => ({ diskBytes: 1, image: { name: "standard", digest: "d" } }),
    unserve: async () => null,
    versions,
  };
  const deps = {
    ...{
      clock: systemClock,
      log: silentLogger,
      gate,
      guests: createGuests(),
      pool: { take: () => clones.pop(), nudge() {} },
    },
    ...{ capacity: createCapacity({ budgetMiB: 4096, floorMiB: 0 }, { availableMiB: () => 4096 }) },
    dataDirectory: "/data",
    logs: createLogStore(logs, { clock: systemClock }, { maxBytesPerJob: 1024 }),
    images: { hold: async () => ({ image: { digest: "d" }, [Symbol.dispose]() {} }) },
    pooledSize: { ...SIZE, digest: "d" },
    overlays: { createBlank: async () => 1 },
    ...{ host: { bind: work, limitDisk: work, release: work }, outcomes: { put: work } },
    ...{ egress: { apply: work, forget() {} }, egressWatch: { begin() {}, end: work } },
    sandboxes: { find: () => undefined, create },
    blocks: {
      call(name: string) {
        asked.push(name);
        return calls[name]?.();
      },
    },
    report(update: NodeUpdate) {
      if (update.type === "ended" && update.end.kind === "failed") ended.resolve(update.end.message);
    },
  } as unknown as JobRunnerDeps;
  const from = { accountId: "a", workspaceId: "w", version: { seq: 1, sha256: "0" } };
  const job = {
    ...{ jobId: newJobId(), size: SIZE, command: { kind: "inline", script: "true" }, environment: {}, fileIds: [] },
    ...{ timeoutMs: null, keepsAwake: false, sandbox: { id: randomUUID() as SandboxId, exists: false, from } },
  } as unknown as JobStart;
  createJobRunner(deps).start(job);
  return { asked, gate, ended: ended.promise };
}

describe("the start of a job on a version of a workspace", { timeout: 60_000 }, () => {
  it("holds up no others while it waits for the object store, and says that this is away", async () => {
    await using temp = await makeTempDir();
    const attached = Promise.withResolvers<never>();
    const { gate, asked, ended } = forkOn(temp.path, {
      ...{ attached: () => attached.promise, create: () => assert.fail("it has no disk") },
      versions: () => Promise.reject(new AppError("unavailable", "no answer")),
    });
    await waitFor(() => asked.includes("attachDisk"), { what: "its disk" });
    const leave = await gate.enter();
    leave();
    attached.reject(new AppError("guest_failed", "the guest did not attach its disk within 30000 ms"));
    assert.match(await ended, /could not be started: the object store is away: the files of the workspace/);
    assert.deepEqual(asked, ["serve", "attachDisk", "versions", "unserve"]);
  });

  it("that fails when its guest has its disk says why, and leaves nothing served", async () => {
    await using temp = await makeTempDir();
    const { asked, ended } = forkOn(temp.path, {
      ...{ attached: async () => ({}), versions: async () => [] },
      create: () => Promise.reject(new AppError("guest_failed", "the guest could not make a folder")),
    });
    assert.match(await ended, /could not be started: the guest could not make a folder/);
    assert.equal(asked.at(-1), "unserve");
  });

  it("that finds no room on the host's disk names the folder that needs some", async () => {
    await using temp = await makeTempDir();
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const { ended } = forkOn(temp.path, {
      ...{ attached: async () => ({}), versions: async () => [] },
      create: () => Promise.reject(new SuppressedError(new Error("of clearing up"), full)),
    });
    assert.equal(await ended, "the job could not be started: the host's disk is full: free some room under /data");
  });
});
