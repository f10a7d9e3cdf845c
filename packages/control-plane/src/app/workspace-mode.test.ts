import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId, WorkspaceId } from "@mags/domain";
import { jobRequest, originOf, workspaceOf } from "../../test/support/workspaces.ts";
import type { JobRequest } from "./new-job.ts";
import { policyOf } from "./sandbox-policy.ts";
import type { Workspace } from "./workspace.ts";
import { checkBase, needsNoSandbox, openedRequest, planOpening, wantsSync } from "./workspace-mode.ts";

const context = { accountId: "a" as AccountId, newId: "new" as WorkspaceId };
const golden = { name: "golden", seq: null };
const base = originOf("golden", 3);
const forkedFrom = { workspaceId: base.workspaceId, name: "golden", seq: 3 };
const defaults = { idleMinutes: 10, warmMs: 300_000 };

/** How long its VM stays when its script is over. */
function staysFor({ persistent, workspaceId }: JobRequest): string {
  const owner = persistent ? { noSleep: false, idleMinutes: 10, startupCommand: null } : null;
  const facts = { kept: persistent, named: workspaceId !== null, egress: "filtered", owner, syncTo: null } as const;
  const { idle } = policyOf(facts, defaults);
  if (idle.action === "sleep") return "kept";
  return idle.afterMs === 0 ? "gone" : "warm";
}

const W = { workspaceId: "w" };
const P = { persistent: true };
const B = { base: golden };
const NEW = { ...W, ...P, command: { kind: "inline", script: "sleep infinity" }, name: "w" } as const;

describe("the modes of workspaces", () => {
  /** As flags, what is submitted, whether it needs a sandbox, how long that stays, whether it is synced, its base. */
  const MODES: readonly (readonly [string, Partial<JobRequest>, "gone" | "warm" | "kept" | null, boolean, boolean])[] =
    [
      ["", {}, null, false, false],
      ["-e", {}, null, false, false],
      ["-w w", W, "warm", false, false],
      ["-w w -p", { ...W, ...P }, "kept", true, false],
      ["-p", P, "kept", false, false],
      ["--base golden", B, "gone", false, true],
      ["--base golden -w w", { ...B, ...W }, "warm", false, true],
      ["--base golden -w w -p", { ...B, ...W, ...P }, "kept", true, true],
      ["new w", { ...NEW, noSync: true }, "kept", false, false],
      ["new w -p", NEW, "kept", true, false],
    ];
  for (const [flags, fields, stays, syncs, based] of MODES)
    it(`are as they should be for "${flags}"`, () => {
      const request = jobRequest(fields);
      assert.equal(needsNoSandbox(request), stays === null);
      assert.equal(wantsSync(request), syncs);
      if (stays === null) return;
      assert.equal(staysFor(request), stays);
      const opening = planOpening(request, { workspace: null, base: based ? base : null }, context);
      const syncTo = { ...{ accountId: "a", workspaceId: "new", name: "w" }, forkedFrom: based ? forkedFrom : null };
      assert.deepEqual(opening, {
        from: based ? base : null,
        syncTo: syncs ? syncTo : null,
        isLocalCopy: false,
      });
    });
});

describe("planOpening", () => {
  it("opens what was synced as its latest version, whatever the flags", () => {
    const workspace = { ...workspaceOf("w", 7), forkedFrom };
    for (const [fields, syncs] of [
      [W, false],
      [{ ...W, ...P, noSync: true }, false],
      [{ ...W, ...P }, true],
      [{ ...W, ...P, ...B }, true],
    ] as const) {
      const opening = planOpening(jobRequest(fields), { workspace, base: null }, context);
      assert.deepEqual(opening.from, originOf("w", 7));
      assert.equal(opening.isLocalCopy, !syncs);
      const target = { accountId: "a", workspaceId: workspace.id, name: "w", forkedFrom };
      assert.deepEqual(opening.syncTo, syncs ? target : null);
    }
  });

  it("begins one anew that was never synced, under its id", () => {
    const workspace = { ...workspaceOf("w", null), forkedFrom: { ...forkedFrom, name: "failed" } };
    const opening = planOpening(jobRequest({ ...W, ...P }), { workspace, base: null }, context);
    assert.deepEqual(
      [opening.from, opening.syncTo?.workspaceId, opening.syncTo?.forkedFrom],
      [null, workspace.id, null],
    );
  });
});

describe("checkBase", () => {
  const check = (workspace: Workspace | null, asked: JobRequest["base"]) =>
    checkBase(jobRequest({ ...W, base: asked }), workspace);

  it("lets a fork be made, or opened again, and what has no base named", () => {
    check(null, golden);
    check(workspaceOf("w", null), golden);
    const fork = { ...workspaceOf("w", 2), forkedFrom };
    for (const seq of [null, 3]) check(fork, { name: "golden", seq });
    check(workspaceOf("w", 2), null);
  });

  it("refuses a second fork onto the same name, and says what its base is", () => {
    const fork = { ...workspaceOf("w", 2), forkedFrom };
    assert.throws(
      () => check(fork, { name: "other", seq: null }),
      /w already exists and was forked from golden@3, not/,
    );
    assert.throws(() => check(fork, { name: "golden", seq: 4 }), { code: "workspace_in_use" });
    assert.throws(() => check(workspaceOf("w", 2), golden), /w already exists and has no base/);
  });

  it("refuses a workspace as its own base", () => {
    assert.throws(() => check(null, { name: "w", seq: null }), { code: "validation_failed" });
  });
});

describe("openedRequest", () => {
  it("asks for the image and the disk that the files need", () => {
    const from = { ...base, image: "alpine", diskBytes: 5 * 1024 ** 3 };
    const asked = openedRequest(jobRequest({ diskGiB: 5 }), from);
    assert.deepEqual([asked.image, asked.diskGiB], ["alpine", 5]);
    assert.equal(openedRequest(jobRequest({ diskGiB: 9, image: "alpine" }), from).diskGiB, 9);
    assert.throws(
      () => openedRequest(jobRequest({ image: "standard" }), from),
      /golden are made for alpine, not standard/,
    );
    assert.equal(openedRequest(jobRequest({}), from).diskGiB, 5);
    assert.throws(() => openedRequest(jobRequest({ diskGiB: 4 }), from), {
      code: "validation_failed",
      message: /workspace golden has 5 GB .* ask for at least 5, or leave disk_gb out/,
    });
    assert.equal(openedRequest(jobRequest({ diskGiB: 1 }), { ...from, diskBytes: 2 * 1024 ** 3 }).diskGiB, 2);
    const plain = jobRequest({ image: "other" });
    assert.equal(openedRequest(plain, null), plain);
  });
});
