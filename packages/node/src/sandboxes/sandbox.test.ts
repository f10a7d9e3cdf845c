import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { AppError, silentLogger, systemClock, untilAborted } from "@mags/core";
import type { NodeUpdate, SandboxId } from "@mags/domain";
import { createSandbox } from "./sandbox.ts";
import type { Awake, SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";

/** A synced one that is awake, as far as the first call of a sync to the block server, which does not answer. */
function syncedSandbox() {
  const reports: NodeUpdate[] = [];
  const asked = Promise.withResolvers<AbortSignal>();
  const deps = {
    ...{ clock: systemClock, log: silentLogger, store: { write: async () => {} } },
    report: (update: NodeUpdate) => void reports.push(update),
    blocks: {
      call(_name: string, _params: unknown, { signal }: { readonly signal: AbortSignal }) {
        asked.resolve(signal);
        return untilAborted(new Promise(() => {}), signal);
      },
    },
    hydration: {},
  } as unknown as SandboxDeps;
  const never = new Promise(() => {});
  const awake = {
    microVm: {
      id: "vm",
      paths: { directory: "/", jail: "/" },
      lost: never,
      machine: { qmp: { [Symbol.asyncDispose]: async () => {} }, onDiskFull() {}, stuck: new AbortController().signal },
    },
    agent: { [Symbol.asyncDispose]: async () => {} },
  } as unknown as Awake;
  const policy = {
    idle: { action: "none" },
    syncTo: { accountId: "a", workspaceId: "w", name: "w", forkedFrom: null },
  };
  const record = {
    id: randomUUID() as SandboxId,
    policy,
    scripts: [],
    image: { directory: "/" },
    base: null,
    published: null,
  };
  const state = { record: { ...record, asleep: null } as unknown as SandboxRecord, awake, giveBack: () => {} };
  return { sandbox: createSandbox(deps, state, () => {}), reports, asked: asked.promise };
}

describe("a sync of a sandbox", { timeout: 60_000 }, () => {
  it("goes on when its caller goes away, and has not failed when the server stops", async () => {
    const { sandbox, reports, asked } = syncedSandbox();
    const caller = new AbortController();
    const synced = sandbox.sync("request", { signal: caller.signal });
    const signal = await asked;
    caller.abort(new AppError("unavailable", "the client has gone"));
    await assert.rejects(synced, { message: "the client has gone" });
    assert.equal(signal.aborted, false);
    await sandbox.leave();
    assert.equal(signal.aborted, true);
    assert.equal(sandbox.observe().sync?.failure, null);
    assert.deepEqual(reports, []);
  });

  it("is not begun for a caller that went away while it waited", async () => {
    const { sandbox, asked } = syncedSandbox();
    const first = sandbox.sync("request", { signal: new AbortController().signal });
    first.catch(() => {});
    const caller = new AbortController();
    await asked;
    const second = sandbox.sync("request", { signal: caller.signal });
    caller.abort(new AppError("unavailable", "the client has gone"));
    await assert.rejects(second, { message: "the client has gone" });
    await sandbox.leave();
    await assert.rejects(first, { message: "the server is stopping" });
  });
});
