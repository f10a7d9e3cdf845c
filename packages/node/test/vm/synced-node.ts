/** A node with a block server beside it, for tests of synced sandboxes. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { silentLogger, systemClock } from "@mags/core";
import {
  type AccountId,
  type JobEnd,
  type JobStart,
  NO_UPLOADS,
  type NodeUpdate,
  newJobId,
  type ObservedSandbox,
  type SandboxId,
  type SandboxPolicy,
  type SandboxSpec,
  type SandboxUpdate,
  type SyncTarget,
  type VersionRef,
  type WorkspaceId,
  type WorkspaceVersion,
} from "@mags/domain";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { NodeConfig } from "../../src/config.ts";
import type { Node } from "../../src/node.ts";
import { openNode } from "../../src/open-node.ts";
import { removeNode } from "../../src/remove-node.ts";
import { ARTIFACTS, blockServerOf } from "./support.ts";

const SIZE = { image: "standard", vcpus: 1, memoryMiB: 512, diskGiB: 2, egress: "filtered" } as const;
export const STAYS: SandboxPolicy = {
  ...{ idle: { action: "none", afterMs: 0 }, startupCommand: null, alwaysOn: false, egress: "filtered", syncTo: null },
};
export const SUMS = "cd /root && find . -type f | sort | xargs sha256sum";
export const refOf = ({ accountId, workspaceId }: SyncTarget, { seq, sha256 }: WorkspaceVersion): VersionRef => ({
  ...{ accountId, workspaceId, version: { seq, sha256 } },
});

export interface SyncedNode extends AsyncDisposable {
  readonly node: Node;
  readonly dataDirectory: string;
  /** Of the test's time. */
  readonly signal: AbortSignal;
  newTarget(name: string, forkedFrom?: SyncTarget["forkedFrom"]): SyncTarget;
  /** Resolves when its script is over. */
  sandboxWith(spec: Partial<SandboxSpec>, script?: string): Promise<SandboxId>;
  /** @returns what it printed. */
  run(id: SandboxId, command: string): Promise<string>;
  sync(id: SandboxId): Promise<WorkspaceVersion>;
  /** What was reported of it since the node began. */
  of(id: SandboxId): readonly SandboxUpdate[];
  seen(id: SandboxId): ObservedSandbox;
  latest(target: SyncTarget): Promise<WorkspaceVersion>;
  storeGoes(): Promise<void>;
  storeComes(): Promise<void>;
  /** What the store takes in a second, from now on; null: as much as it can. */
  slowStore(bytesPerSecond: number | null): Promise<void>;
  /** Begins anew; `between` runs while there is no node. @param artifactsFile  Of the installation from then on. */
  restart(between?: () => Promise<void>, artifactsFile?: string): Promise<void>;
}

/**
 * @param options.prefix, network  Others' on the machine have other ones.
 * @param options.dataDirectory    Of a node that has ended, or empty; it stays. Default: a new one.
 */
export async function openSyncedNode(options: {
  readonly prefix: string;
  readonly network: string;
  readonly uidBase: number;
  readonly dataDirectory?: string;
  readonly hydration?: { readonly mb_per_second: number; readonly after_seconds: number };
}): Promise<SyncedNode> {
  const config = NodeConfig.parse({
    default_memory_mb: SIZE.memoryMiB,
    max_disk_gb: 20,
    uid_base: options.uidBase,
    pool: { min_idle: 1, max_idle: 1, slot_share: 1 },
    network: { prefix: options.prefix, uplink_range: options.network },
    hydration: options.hydration,
  });
  await using scope = new AsyncDisposableStack();
  const dataDirectory = options.dataDirectory ?? scope.use(await makeTempDir()).path;
  let files = { dataDirectory, artifactsFile: ARTIFACTS, config };
  scope.defer(() => removeNode(files));
  const signal = AbortSignal.timeout(900_000);
  const accountId = randomUUID() as AccountId;
  const at = (name: string) => join(dataDirectory, name);
  let node: Node;
  let updates: NodeUpdate[] = [];

  async function begin(): Promise<void> {
    const deps = { uploads: NO_UPLOADS, clock: systemClock, log: silentLogger };
    node = await openNode(deps, { ...files, blockServer: blockServerOf(dataDirectory) }, { signal });
    updates = [];
    node.onUpdate((update: NodeUpdate) => void updates.push(update));
  }
  await begin();
  scope.defer(async () => {
    for (const { sandboxId } of node.observeSandboxes())
      await node.releaseSandbox(sandboxId, { reason: "over", discard: true });
    for (const { jobId } of node.observe()) await node.stop(jobId);
    await node.close();
  });
  const owned = scope.move();

  return {
    get node() {
      return node;
    },
    dataDirectory,
    signal,
    newTarget: (name, forkedFrom = null) => ({
      ...{ accountId, workspaceId: randomUUID() as WorkspaceId, name, forkedFrom },
    }),
    async sandboxWith(spec, script = "true") {
      const jobId = newJobId();
      const id = randomUUID() as SandboxId;
      const job: JobStart = {
        ...{ jobId, size: SIZE, command: { kind: "inline", script }, environment: {}, timeoutMs: null },
        sandbox: { id, exists: false, from: null, ...STAYS, ...spec },
        ...{ keepsAwake: false, fileIds: [] },
      };
      node.start(job);
      const end: JobEnd = await waitFor(() => node.observe().find((one) => one.jobId === jobId)?.end, {
        what: "the script's end",
        deadlineMs: 120_000,
      });
      assert.ok(end.kind === "exited" && end.exitCode === 0, JSON.stringify(end));
      return id;
    },
    async run(id, command) {
      const request = { command, timeoutMs: 150_000, maxBytes: 1 << 20 };
      const { stdout, stderr, exitCode } = await node.exec(id, request, { signal });
      assert.equal(exitCode, 0, stderr.toString());
      return stdout.toString();
    },
    sync: (id) => node.syncSandbox(id, { reason: "request", signal }),
    of: (id) =>
      updates.filter((update): update is SandboxUpdate => update.type === "sandbox" && update.sandboxId === id),
    seen(id) {
      const found = node.observeSandboxes().find(({ sandboxId }) => sandboxId === id);
      assert.ok(found);
      return found;
    },
    async latest(target) {
      const version = (await node.listVersions(target, { signal })).at(-1);
      assert.ok(version);
      return version;
    },
    async storeGoes() {
      await rename(at("objects"), at("away"));
      await writeFile(at("objects"), "");
    },
    async storeComes() {
      await rm(at("objects"));
      await rename(at("away"), at("objects"));
    },
    slowStore: (bytesPerSecond) => writeFile(at("rate"), String(bytesPerSecond ?? 0)),
    async restart(between = async () => {}, artifactsFile = files.artifactsFile) {
      await node.close();
      await between();
      files = { ...files, artifactsFile };
      await begin();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
