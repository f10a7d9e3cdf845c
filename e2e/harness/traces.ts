import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "@mags/test-kit";
import type { TestServer } from "./server.ts";

/** Namespaces made before VMs need them: the default of `node.network.prepared`. */
const MOST_PREPARED = 4;

/** What the node has on the host for its VMs, by kind. */
async function traces({ prefix, dataDir }: TestServer): Promise<Readonly<Record<string, readonly string[]>>> {
  const parent = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].find((folder) => existsSync(join(folder, prefix)));
  const groups = parent && (await readdir(join(parent, prefix), { withFileTypes: true }));
  return {
    directories: await readdir(join(dataDir, "vms")),
    namespaces: (await readdir("/run/netns")).filter((name) => name.startsWith(`${prefix}-`)),
    links: (await readFile("/proc/net/dev", "utf8")).match(new RegExp(`\\b${prefix}-\\d+:`, "g")) ?? [],
    ...(groups && { groups: groups.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])) }),
  };
}

/** Resolves when no VM is busy, no end of a job is kept, and nothing is on the host but for parked VMs and those to come. */
export async function untilParkedOnly(server: TestServer): Promise<void> {
  const parkedOnly = async () => {
    const { idle_vms, busy_vms } = (await server.serverStatus()).pool;
    if (busy_vms > 0 || (await readdir(join(server.dataDir, "outcomes"))).length > 0) return false;
    const { namespaces = [], links = [], ...others } = await traces(server);
    const prepared = namespaces.length - idle_vms;
    return (
      prepared >= 0 &&
      prepared <= MOST_PREPARED &&
      links.length === namespaces.length &&
      Object.values(others).every((names) => names.length === idle_vms)
    );
  };
  await waitFor(parkedOnly, { what: "parked VMs only", deadlineMs: 30_000 }).catch(async () =>
    assert.fail(`there are ${JSON.stringify(await traces(server))}, ${JSON.stringify(await server.serverStatus())}`),
  );
}
