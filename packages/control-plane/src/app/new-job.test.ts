import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AccountId, type NodeDescription, newJobId } from "@mags/domain";
import { type JobRequest, planJob } from "./new-job.ts";

const node: NodeDescription = {
  ...{ accelerator: "tcg", acceleratorReason: "", images: ["standard", "alpine"] },
  ...{ defaultVcpus: 2, maxVcpus: 4, defaultMemoryMiB: 1024, maxMemoryMiB: 4096, maxDiskGiB: 20 },
};
const context = { id: newJobId(), accountId: "a" as AccountId, now: new Date(0), node, idleMinutes: 10 };
const request: JobRequest = {
  ...{
    name: null,
    command: { kind: "inline", script: "echo hi" },
    environment: {},
    image: null,
    vcpus: null,
    egress: null,
  },
  ...{ memoryMiB: null, diskGiB: null, timeoutMs: null, labels: {}, noSync: false, fileIds: [] },
  ...{
    workspaceId: null,
    base: null,
    persistent: false,
    noSleep: false,
    startupCommand: null,
    idleMinutes: null,
    replace: false,
  },
};
const plan = (fields: Partial<JobRequest>) => planJob({ ...request, ...fields }, context);

describe("planJob", () => {
  it("fills in what the installation has as defaults", () => {
    const { job, events } = plan({});
    assert.equal(job.name, `job-${context.id.slice(0, 8)}`);
    assert.deepEqual(job.size, { image: "standard", vcpus: 2, memoryMiB: 1024, diskGiB: 2, egress: "filtered" });
    assert.deepEqual(
      events.map((event) => event.name),
      ["submitted"],
    );
  });

  it("gives at least 2 GiB of disk", () => {
    assert.equal(plan({ diskGiB: 1 }).job.size.diskGiB, 2);
    assert.equal(plan({ diskGiB: 20 }).job.size.diskGiB, 20);
  });

  it("writes the hosts of an allow-list in one spelling, each once", () => {
    assert.deepEqual(plan({ egress: { allow: ["PyPI.org.", "pypi.org", "*.A.test"] } }).job.size.egress, {
      allow: ["pypi.org", "*.a.test"],
    });
    assert.equal(plan({ egress: "none" }).job.size.egress, "none");
  });

  it("converts scripts whose every line ends in CR LF, and says so", () => {
    const { job, events } = plan({ command: { kind: "inline", script: "a\r\nb\r\n" } });
    assert.deepEqual(job.command, { kind: "inline", script: "a\nb\n" });
    assert.deepEqual(
      events.map((event) => event.name),
      ["submitted", "script_converted"],
    );
  });

  it("gives persistent jobs the installation's idle time, and others none", () => {
    assert.equal(plan({ persistent: true }).job.idleMinutes, 10);
    assert.equal(plan({ persistent: true, idleMinutes: 3 }).job.idleMinutes, 3);
    assert.equal(plan({}).job.idleMinutes, null);
  });

  it("knows a script that only keeps its VM alive", () => {
    assert.equal(plan({ command: { kind: "inline", script: "sleep infinity\r\n" } }).job.endless, true);
    assert.equal(plan({ command: { kind: "url", url: "http://a/sleep infinity" } }).job.endless, false);
  });

  it("refuses a VM that never sleeps for a job that keeps none", () => {
    assert.throws(() => plan({ noSleep: true }), /no_sleep: needs persistent/);
  });

  it("names the field, the limit and the wish when the node cannot give what is asked for", () => {
    assert.throws(() => plan({ vcpus: 5 }), /vcpus: .*at most 4, not 5/);
    assert.throws(() => plan({ memoryMiB: 8192 }), /memory_mb: .*at most 4096/);
    assert.throws(() => plan({ memoryMiB: 16 }), /memory_mb: .*at least 256/);
    assert.throws(() => plan({ diskGiB: 21 }), /disk_gb: .*at most 20/);
    assert.throws(() => plan({ image: "pi" }), /rootfs_type: .*"pi".*standard, alpine/);
  });
});
