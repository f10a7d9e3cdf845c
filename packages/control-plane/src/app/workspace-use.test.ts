import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId, JobId, MicroVmId, SandboxId } from "@mags/domain";
import type { JobRequest } from "./new-job.ts";
import type { Sandbox } from "./sandbox.ts";
import { inUseText, type JobInSandbox, planWorkspaceUse } from "./workspace-use.ts";

const size = { image: "standard", vcpus: 2, memoryMiB: 1024, diskGiB: 4, egress: "filtered" } as const;
const sandbox = (fields: Partial<Sandbox> = {}): Sandbox => ({
  ...{ id: "s" as SandboxId, accountId: "a" as AccountId, workspaceId: "w", state: "running", kept: false },
  ...{ ownerJobId: null, microVmId: "vm-1" as MicroVmId, size },
  ...fields,
});
const request = (fields: Partial<JobRequest> = {}): JobRequest => ({
  ...{ name: null, command: { kind: "inline", script: "echo hi" }, environment: {}, image: null, egress: null },
  ...{
    vcpus: null,
    memoryMiB: null,
    diskGiB: null,
    timeoutMs: null,
    labels: {},
    noSync: true,
    fileIds: [],
    workspaceId: "w",
  },
  ...{ persistent: false, noSleep: false, startupCommand: null, idleMinutes: null, replace: false },
  ...fields,
});
const inside = (id: string, fields: Partial<JobInSandbox> = {}): JobInSandbox => ({
  ...{ id: id as JobId, name: id, scriptOver: false, endless: false },
  ...fields,
});
const owned = sandbox({ kept: true, ownerJobId: "o" as JobId });
const plain = { request: request(), endless: false };
const persistent = { request: request({ persistent: true }), endless: false };
const another = { request: request({ persistent: true }), endless: true };

describe("planWorkspaceUse", () => {
  it("uses a warm sandbox, and a persistent job keeps it from then on", () => {
    assert.deepEqual(planWorkspaceUse(plain, sandbox(), []), { kind: "join", owns: false, takesOver: null, size });
    assert.deepEqual(planWorkspaceUse(persistent, sandbox(), []), { kind: "join", owns: true, takesOver: null, size });
  });

  it("lets a persistent job follow one whose script is over, and others borrow", () => {
    const jobs = [inside("o", { scriptOver: true })];
    const use = planWorkspaceUse(persistent, owned, jobs);
    assert.deepEqual(use, { kind: "join", owns: true, takesOver: "o", size });
    assert.deepEqual(planWorkspaceUse(plain, owned, jobs), { kind: "join", owns: false, takesOver: null, size });
  });

  it("is in the way of no script that only keeps the VM alive, but of another such", () => {
    const jobs = [inside("o", { endless: true })];
    for (const job of [plain, persistent])
      assert.deepEqual(planWorkspaceUse(job, owned, jobs), { kind: "join", owns: false, takesOver: null, size });
    assert.deepEqual(planWorkspaceUse(another, owned, jobs), { kind: "busy", scripts: jobs });
  });

  it("finds it busy while another script runs, also one beside the endless sleep", () => {
    assert.equal(planWorkspaceUse(plain, sandbox(), [inside("a")]).kind, "busy");
    const use = planWorkspaceUse(plain, owned, [inside("o", { endless: true }), inside("b")]);
    assert.deepEqual(use, { kind: "busy", scripts: [inside("b")] });
  });

  it("takes over egress and a larger disk, and refuses another kind of VM", () => {
    const use = planWorkspaceUse({ request: request({ diskGiB: 9, egress: "none" }), endless: false }, sandbox(), []);
    assert.deepEqual(use.kind === "join" && use.size, { ...size, diskGiB: 9, egress: "none" });
    const small = planWorkspaceUse({ request: request({ diskGiB: 2, vcpus: 2 }), endless: false }, sandbox(), []);
    assert.deepEqual(small.kind === "join" && small.size, size);
    for (const [field, fields] of [
      ["rootfs_type", { image: "alpine" }],
      ["vcpus", { vcpus: 1 }],
      ["memory_mb", { memoryMiB: 512 }],
    ] as const) {
      const refused = planWorkspaceUse({ request: request(fields), endless: false }, sandbox(), []);
      assert.equal(refused.kind === "differs" && refused.field, field);
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
  });
});
