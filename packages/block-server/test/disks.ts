/** Disks that are published, and looks at what came of it. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { createMemoryStore, type ObjectStore } from "@mags/object-store";
import { createFaultyStore, createSeededRandom } from "@mags/test-kit";
import { checkAccount, type VersionName } from "@mags/workspace-store";
import type { SyncCall, SyncResult } from "../src/index.ts";
import { contentsOf, DISK_BYTES, exported, type TestServer, tool } from "./harness.ts";

export const newFaultyStore = () => createFaultyStore(createMemoryStore(), { random: createSeededRandom(1) });

/** A workspace, and a disk in the folder that is published as it. */
export async function newDisk(server: TestServer, folder: string) {
  const workspace = randomUUID();
  const key = { account: server.account, workspace };
  const path = join(folder, workspace);
  await tool("qemu-img", "create", "-q", "-f", "qcow2", path, String(DISK_BYTES));
  let parent: VersionName | null = null;
  const refOf = (version: VersionName) => ({ ...key, version: { seq: version.seq, sha256: version.sha256 } });
  async function syncWhole(by = server, options: Partial<SyncCall> = {}): Promise<SyncResult> {
    const from = parent && refOf(parent);
    const result = await exported(path, {}, (source) => by.sync({ workspace, parent: from, source, ...options }));
    parent = result.version;
    return result;
  }
  return {
    ...{ workspace, key, path, refOf },
    /** All of the disk is compared with what was published last. */
    syncWhole,
    sync: async (...args: Parameters<typeof syncWhole>) => (await syncWhole(...args)).version,
    async isPublished(version: VersionName) {
      return (await server.contents(workspace, version)).equals(await contentsOf(path));
    },
  };
}

/** What `magsd store check --data` would say. */
export async function problemsOf(store: ObjectStore, { account }: TestServer): Promise<string[]> {
  const found: string[] = [];
  const onProblem = ({ key, what }: { readonly key: string; readonly what: string }) => found.push(`${key}: ${what}`);
  await checkAccount(store, { account, data: true, signal: AbortSignal.timeout(300_000), onProblem });
  return found;
}

/** Reads at an offset of what is served, and expects bytes of this value. */
export const readAt = (socket: string, offset: string, value: number) =>
  tool("qemu-io", ...["-r", "-f", "raw", "-c", `read -P ${value} ${offset} 64k`, `nbd+unix:///disk?socket=${socket}`]);
