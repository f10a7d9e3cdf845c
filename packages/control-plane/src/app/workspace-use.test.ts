import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId, JobId, MicroVmId, SandboxId, WorkspaceId } from "@mags/domain";
import { jobRequest, originOf, workspaceOf } from "../../test/support/workspaces.ts";
import type { JobRequest } from "./new-job.ts";
import type { Sandbox } from "./sandbox.ts";
import type { Workspace } from "./workspace.ts";
import { inUseText, type JobInSandbox, planWorkspaceUse } from "./workspace-use.ts";

const size = { image: "standard", vcpus: 2, memoryMiB: 1024, diskGiB: 4, egress: "filtered" } as const;
const sandbox = (fields: Partial<Sandbox> = {}): Sandbox => ({
  ...{ id: "s" as SandboxId, accountId: "a" as AccountId, workspaceId: "w", state: "running", kept: false },
  ...{ ownerJobId: null, microVmId: "vm-1" as MicroVmId, size, from: null, syncsTo: null },
  ...fields,
});
const request = (fields: Partial<JobRequest> = {}) => jobRequest({ workspaceId: "w", noSync: true, ...fields });
const inside = (id: string, fields: Partial<JobInSandbox> = {}): JobInSandbox => ({
  ...{ id: id as JobId, name: id, scriptOver: false, endless: false },
  ...fields,
});
const owned = sandbox({ kept: true, ownerJobId: "o" as JobId });
const plain = { request: request(), endless: false };
const persistent = { request: request({ persistent: true }), endless: false };
const another = { request: request({ persistent: true }), endless: true };

const use = (
  job: { readonly request: JobRequest; readonly endless: boolean },
  found: Sandbox,
  jobs: readonly JobInSandbox[],
  workspace: Workspace | null = null,
) => planWorkspaceUse({ ...job, newId: "new" as WorkspaceId }, { sandbox: found, jobs, workspace });

describe("planWorkspaceUse", () => {
  it("uses a warm sandbox, and a persistent job keeps it from then on", () => {
    assert.deepEqual(use(plain, sandbox(), []), { kind: "join", owns: false, takesOver: null, size, promotesTo: null });
    assert.deepEqual(use(persistent, sandbox(), []), {
      kind: "join",
      owns: true,
      takesOver: null,
      size,
      promotesTo: null,
    });
  });

  it("lets a persistent job follow one whose script is over, and others borrow", () => {
    const jobs = [inside("o", { scriptOver: true })];
    const found = use(persistent, owned, jobs);
    assert.deepEqual(found, { kind: "join", owns: true, takesOver: "o", size, promotesTo: null });
    assert.deepEqual(use(plain, owned, jobs), { kind: "join", owns: false, takesOver: null, size, promotesTo: null });
  });

  it("is in the way of no script that only keeps the VM alive, but of another such", () => {
    const jobs = [inside("o", { endless: true })];
    for (const job of [plain, persistent])
      assert.deepEqual(use(job, owned, jobs), { kind: "join", owns: false, takesOver: null, size, promotesTo: null });
    assert.deepEqual(use(another, owned, jobs), { kind: "busy", scripts: jobs });
  });

  it("finds it busy while another script runs, also one beside the endless sleep", () => {
    assert.equal(use(plain, sandbox(), [inside("a")]).kind, "busy");
    const found = use(plain, owned, [inside("o", { endless: true }), inside("b")]);
    assert.deepEqual(found, { kind: "busy", scripts: [inside("b")] });
  });

  it("takes over egress and a larger disk, and refuses another kind of VM", () => {
    const found = use({ request: request({ diskGiB: 9, egress: "none" }), endless: false }, sandbox(), []);
    assert.deepEqual(found.kind === "join" && found.size, { ...size, diskGiB: 9, egress: "none" });
    const equal = use({ request: request({ diskGiB: 4, vcpus: 2 }), endless: false }, sandbox(), []);
    assert.deepEqual(equal.kind === "join" && equal.size, size);
    for (const [field, fields] of [
      ["rootfs_type", { image: "alpine" }],
      ["vcpus", { vcpus: 1 }],
      ["memory_mb", { memoryMiB: 512 }],
    ] as const) {
      const refused = use({ request: request(fields), endless: false }, sandbox(), []);
      assert.equal(refused.kind === "differs" && refused.field, field);
    }
  });

  it("refuses a smaller disk before a script has to make room, but not for a copy that makes room itself", () => {
    const job = { request: request({ diskGiB: 3 }), endless: false };
    assert.deepEqual(use(job, sandbox(), [inside("a")]), { kind: "too_small", asked: 3, has: 4 });
    const syncs = { request: request({ diskGiB: 3, persistent: true, noSync: false }), endless: false };
    assert.equal(use(syncs, sandbox(), [], workspaceOf("w", 2)).kind, "drop");
  });
});

const synced = { request: request({ persistent: true, noSync: false }), endless: false };
const target = { accountId: "a", workspaceId: "new", name: "w", forkedFrom: null };

describe("planWorkspaceUse of a workspace that is to be synced", () => {
  it("promotes what is local, warm or kept, also beside the endless sleep of new", () => {
    const warm = use(synced, sandbox(), []);
    assert.deepEqual(warm, { kind: "join", owns: true, takesOver: null, size, promotesTo: target });
    const beside = use(synced, owned, [inside("o", { endless: true })]);
    assert.deepEqual(beside, { kind: "join", owns: false, takesOver: null, size, promotesTo: target });
    const fork = use(synced, sandbox({ from: originOf("golden", 3) }), []);
    const forkedFrom = { workspaceId: "id of golden", name: "golden", seq: 3 };
    assert.deepEqual(fork.kind === "join" && fork.promotesTo, { ...target, forkedFrom });
  });

  it("promotes to the workspace that was begun and never synced", () => {
    const found = use(synced, sandbox(), [], workspaceOf("w", null));
    assert.deepEqual(found.kind === "join" && found.promotesTo, { ...target, workspaceId: "id of w" });
  });

  it("drops a warm copy of what is synced, and leaves one that is kept or in use", () => {
    const workspace = workspaceOf("w", 5);
    const copy = sandbox({ from: originOf("w", 5) });
    assert.deepEqual(use(synced, copy, [], workspace), { kind: "drop" });
    assert.equal(use(plain, copy, [], workspace).kind, "join");
    assert.equal(use(synced, copy, [inside("x")], workspace).kind, "busy");
    const kept = { ...copy, kept: true, ownerJobId: "o" as JobId };
    const jobs = [inside("o", { scriptOver: true })];
    assert.deepEqual(use(synced, kept, jobs, workspace), { kind: "copy", jobs });
    assert.deepEqual(use(synced, { ...copy, kept: true }, [], workspace), { kind: "copy", jobs: [] });
  });

  it("leaves one that is synced as it is, whatever is asked", () => {
    const open = sandbox({ kept: true, syncsTo: "id of w" as WorkspaceId, from: originOf("w", 5) });
    for (const job of [plain, persistent, synced]) {
      const found = use(job, open, [], workspaceOf("w", 5));
      assert.equal(found.kind === "join" && found.promotesTo, null);
    }
  });
});

describe("planWorkspaceUse of a job with a base", () => {
  const based = (seq: number | null) => ({ request: request({ base: { name: "golden", seq } }), endless: false });

  it("opens what came from it", () => {
    const fork = sandbox({ from: originOf("golden", 3) });
    for (const seq of [null, 3]) assert.equal(use(based(seq), fork, []).kind, "join");
    const copy = sandbox({ from: originOf("w", 9) });
    const workspace = { ...workspaceOf("w", 9), forkedFrom: { ...target, name: "golden", seq: 3 } as never };
    assert.equal(use(based(null), copy, [], workspace).kind, "join");
  });

  it("refuses what came from another, or another version, or from none", () => {
    for (const [from, has] of [
      [originOf("other", 3), { name: "other", seq: 3 }],
      [originOf("golden", 4), { name: "golden", seq: 4 }],
      [null, null],
    ] as const) {
      const found = use(based(3), sandbox({ from }), []);
      assert.deepEqual(found, { kind: "other_base", has, asked: { name: "golden", seq: 3 } });
    }
  });
});

describe("inUseText", () => {
  it("has the words that clients look for, and the cures", () => {
    const busy = inUseText("w", { kind: "busy", scripts: [inside("a"), inside("b")] });
    for (const words of ["already exists", "in use", "mags stop w", "--replace", "a (a) and 1 more"])
      assert.ok(busy.includes(words), words);
    const differs = inUseText("w", { kind: "differs", field: "vcpus", has: 2, asked: 1 });
    for (const words of ["already exists", "in use", "vcpus 2, not 1", "mags stop w"])
      assert.ok(differs.includes(words), words);
    const forNew = inUseText("w", { kind: "busy", scripts: [inside("a")] }, { endless: true });
    assert.ok(forNew.includes("in use") && forNew.includes("mags stop w") && !forNew.includes("replace"), forNew);
    const copy = inUseText("w", { kind: "copy", jobs: [inside("a")] });
    for (const words of ["already exists", "in use", "not synced", "job a (a)", "mags stop w"])
      assert.ok(copy.includes(words), words);
    const other = { kind: "other_base", has: { name: "old", seq: 2 }, asked: { name: "golden", seq: null } } as const;
    for (const words of ["already exists", "forked from old@2", "not from golden"])
      assert.ok(inUseText("w", other).includes(words), words);
    assert.match(inUseText("w", { ...other, has: null }), /has no base/);
  });
});
