import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findCgroupMounts } from "./cgroups.ts";

const V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev 0 0\n";
const V1 = ["cpu,cpuacct", "memory", "pids", "blkio"]
  .map((name) => `cgroup /sys/fs/cgroup/${name} cgroup rw,${name} 0 0\n`)
  .join("");
const HYBRID = `${V1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`;

describe("where control groups are mounted", () => {
  it("is one folder under v2", async () => {
    const { version, folders } = await findCgroupMounts(V2, async () => "cpuset cpu io memory hugetlb pids\n");
    assert.equal(version, 2);
    assert.deepEqual([...folders.values()], ["/sys/fs/cgroup"]);
  });

  it("is one folder a controller under v1, also where controllers share one and beside a v2 mount without them", async () => {
    for (const mounts of [V1, HYBRID]) {
      const { version, folders } = await findCgroupMounts(mounts, async () => "\n");
      assert.equal(version, 1);
      assert.deepEqual(Object.fromEntries(folders), {
        memory: "/sys/fs/cgroup/memory",
        cpu: "/sys/fs/cgroup/cpu,cpuacct",
        pids: "/sys/fs/cgroup/pids",
      });
    }
  });

  it("is nowhere when a controller is missing, which the error names", async () => {
    await assert.rejects(
      findCgroupMounts(V1.replace(/^.*pids.*\n/m, ""), async () => ""),
      /pids is not mounted/,
    );
    await assert.rejects(
      findCgroupMounts("", async () => ""),
      /not mounted/,
    );
  });
});
