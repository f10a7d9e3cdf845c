import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { findCgroupMounts, limitMemory } from "./cgroups.ts";

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

describe("limitMemory", () => {
  const cases = [
    [1, { "memory.limit_in_bytes": "5000", "memory.memsw.limit_in_bytes": "5000" }],
    [2, { "memory.max": "5000", "memory.swap.max": "0" }],
    [1, { "memory.limit_in_bytes": "5000" }],
    [2, { "memory.max": "5000" }],
  ] as const;
  for (const [version, expected] of cases)
    it(`leaves no swap under v${version}, where the kernel has ${Object.keys(expected).join(" and ")}`, async () => {
      await using temp = await makeTempDir();
      for (const name of Object.keys(expected)) await writeFile(join(temp.path, name), "");
      await limitMemory(temp.path, { version, memoryBytes: 5_000 });
      const names = await readdir(temp.path);
      const written = names.map(async (name) => [name, await readFile(join(temp.path, name), "utf8")]);
      assert.deepEqual(Object.fromEntries(await Promise.all(written)), expected);
    });
});
