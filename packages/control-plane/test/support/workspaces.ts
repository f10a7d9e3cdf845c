/** Workspaces and requests for tests of rules. */
import type { AccountId, WorkspaceId } from "@mags/domain";
import type { JobRequest } from "../../src/app/new-job.ts";
import type { OpenableVersion, Workspace } from "../../src/app/workspace.ts";

const GIB = 1024 ** 3;
const accountId = "a" as AccountId;
const sha256 = "0".repeat(64);

export const jobRequest = (fields: Partial<JobRequest> = {}): JobRequest => ({
  ...{ name: null, command: { kind: "inline", script: "echo hi" }, environment: {}, image: null, egress: null },
  ...{ vcpus: null, memoryMiB: null, diskGiB: null, timeoutMs: null, labels: {}, noSync: false, fileIds: [] },
  ...{ workspaceId: null, base: null, persistent: false, noSleep: false, startupCommand: null, idleMinutes: null },
  ...{ replace: false },
  ...fields,
});

export function originOf(name: string, seq: number): OpenableVersion {
  const workspaceId = `id of ${name}` as WorkspaceId;
  return { accountId, workspaceId, name, image: "standard", diskBytes: 2 * GIB, version: { seq, sha256 } };
}

/** @param seq  Of its latest version; null: it was never synced. */
export function workspaceOf(name: string, seq: number | null): Workspace {
  return {
    ...{ id: `id of ${name}` as WorkspaceId, accountId, name, image: "standard", forkedFrom: null },
    latest: seq === null ? null : { seq, sha256, diskBytes: 2 * GIB, dataBytes: 1, storedBytes: 1 },
    ...{ createdAt: new Date(0), updatedAt: new Date(0), lastSyncedAt: null, restoring: false, releasing: null },
  };
}
