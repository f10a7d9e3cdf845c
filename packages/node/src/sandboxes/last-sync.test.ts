import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { AppError, untilAborted } from "@mags/core";
import type { AccountId, WorkspaceId, WorkspaceVersion } from "@mags/domain";
import { publishForGood } from "./last-sync.ts";
import type { SandboxLife } from "./sandbox-life.ts";
import type { SyncWatch } from "./sync-watch.ts";

const MIB = 1024 ** 2;
const syncTo = {
  ...{ accountId: randomUUID() as AccountId, workspaceId: randomUUID() as WorkspaceId, name: "w", forkedFrom: null },
};

type Publish = SyncWatch["publish"];

/** Has one that is awake published for good. @returns what was done for that, in its order. */
async function stop({
  behindBytes = 0,
  publish = async () => {},
  givenUp = new AbortController().signal,
}: {
  readonly behindBytes?: number;
  readonly publish?: (options: Parameters<Publish>[0]) => Promise<void>;
  readonly givenUp?: AbortSignal;
}): Promise<{ readonly done: readonly string[]; readonly error: unknown }> {
  const done: string[] = [];
  const life = { kept: { now: { policy: { syncTo }, published: null, asleep: null } }, awake: {}, givenUp };
  const syncs: Pick<SyncWatch, "publish" | "writeOut"> = {
    async writeOut() {
      done.push("write out");
      return behindBytes;
    },
    async publish(options) {
      done.push(options.hold ? "publish paused" : "publish running");
      await publish(options);
      return {} as WorkspaceVersion;
    },
  };
  const error = await publishForGood(life as unknown as SandboxLife, {
    syncs,
    waking: { wakeUp: async () => {} },
    atOnceMs: 1,
  }).catch((failure: unknown) => failure);
  return { done, error };
}

describe("publishForGood", () => {
  it("pauses the guest at once when little is behind, and has it run for the most of much", async () => {
    assert.deepEqual(await stop({ behindBytes: 64 * MIB }), {
      done: ["write out", "publish paused"],
      error: undefined,
    });
    assert.deepEqual(await stop({ behindBytes: 64 * MIB + 1 }), {
      done: ["write out", "publish running", "publish paused"],
      error: undefined,
    });
  });

  it("has the guest run on when that takes long", async () => {
    let tries = 0;
    const publish = async ({ signal }: { readonly signal: AbortSignal }) => {
      tries++;
      if (tries === 1) await untilAborted(new Promise(() => {}), signal);
    };
    const { done, error } = await stop({ publish });
    assert.deepEqual(done, ["write out", "publish paused", "publish running", "publish paused"]);
    assert.equal(error, undefined);
  });

  it("fails as the sync does, and when it is given up", async () => {
    const away = new AppError("unavailable", "the store is away");
    const failing = await stop({ publish: () => Promise.reject(away) });
    assert.deepEqual([failing.done, failing.error], [["write out", "publish paused"], away]);
    const ended = new AppError("job_not_running", "it has ended");
    const givenUp = AbortSignal.abort(ended);
    const left = await stop({ givenUp, publish: ({ signal }) => untilAborted(new Promise(() => {}), signal) });
    assert.deepEqual([left.done, left.error], [["write out", "publish paused"], ended]);
  });
});
