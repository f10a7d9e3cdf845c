import { z } from "zod";
import { flag } from "./flag.ts";
import { Done, RunningSync } from "./jobs.ts";
import { route } from "./route.ts";

export const WorkspaceBase = z
  .object({ workspace_id: z.string(), version: z.int() })
  .meta({ id: "WorkspaceBase", description: "The version of another workspace that it began as." });

export const Workspace = z
  .object({
    workspace_id: z.string().describe("Its name."),
    id: z.string().describe("Same as workspace_id."),
    version: z.int().nullable().describe("The latest one; null: it was not synced yet."),
    size_bytes: z.int().describe("What of its disk is in use."),
    stored_bytes: z.int().describe("What that takes in the object store."),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime().describe("When the latest version was made."),
    last_synced_at: z.iso.datetime().nullable().describe("When it was last known to be all in the object store."),
    active_request_id: z.uuid().nullable().describe("A live job that works on it."),
    base: WorkspaceBase.nullable(),
    behind_bytes: z.int().describe("Bytes that changed in its VM since the last sync, as far as is known."),
    failure: z
      .string()
      .nullable()
      .describe("Why the last sync failed, or what changed may be unsynced; null when all went well."),
    running: RunningSync.nullable().describe("The sync that is under way; null when none is."),
  })
  .meta({ id: "Workspace" });
export type WorkspaceWire = z.infer<typeof Workspace>;

export const WorkspaceVersion = z
  .object({
    version: z.int().describe("Rises within a workspace."),
    sha256: z.string().describe("Digest of its manifest."),
    created_at: z.iso.datetime(),
    reason: z
      .string()
      .describe("Why it was made: interval, stop, sleep, request, promotion, fork, restore, compaction."),
    size_bytes: z.int(),
    stored_bytes: z.int(),
    disk_bytes: z.int().describe("Size of the disk."),
  })
  .meta({ id: "WorkspaceVersion" });
export type WorkspaceVersionWire = z.infer<typeof WorkspaceVersion>;

const WorkspaceParams = z.object({ id: z.string().min(1).describe("The name of the workspace.") });

export const listWorkspaces = route({
  method: "GET",
  path: "/mags-workspaces",
  summary: "List synced workspaces, by name",
  auth: "account",
  responses: {
    200: z.object({ workspaces: z.array(Workspace), total: z.int() }).meta({ id: "Workspaces" }),
  },
  errors: [],
});

export const deleteWorkspace = route({
  method: "DELETE",
  path: "/mags-workspaces/{id}",
  summary: "Delete a workspace and its data for good",
  description:
    "Refused with 409, which names a job, while a VM stands on it: one that it is open in, awake, asleep or warm, or that began as a version of it. Its data is removed from the object store after a day.",
  auth: "account",
  params: WorkspaceParams,
  query: z.object({
    force: flag.describe(
      "`1`: stop what stands on it first. What changed in other synced workspaces is synced before; what changed in this one, and in local ones, is dropped.",
    ),
  }),
  responses: { 200: Done },
  errors: [404, 409],
});

export const listWorkspaceVersions = route({
  method: "GET",
  path: "/mags-workspaces/{id}/versions",
  summary: "List the versions of a workspace that are kept, newest first",
  auth: "account",
  params: WorkspaceParams,
  responses: {
    200: z
      .object({ workspace_id: z.string(), versions: z.array(WorkspaceVersion), total: z.int() })
      .meta({ id: "WorkspaceVersions" }),
  },
  errors: [404],
});

export const FileChange = z
  .object({
    path: z.string().describe("From the root, without a slash at its beginning."),
    path_base64: z.string().optional().describe("Its bytes, where they are not UTF-8."),
    change: z.enum(["added", "removed", "changed"]),
    parts: z
      .array(z.enum(["type", "content", "target", "mode", "owner", "time", "attributes"]))
      .describe(
        "What of it changed. Empty for what was added or removed, and for a file of the image that only one of the versions has changed: the other does not have how it is there.",
      ),
    type: z
      .enum(["file", "directory", "symlink", "character", "block", "fifo", "socket"])
      .nullable()
      .describe("As it is after, or was before it was removed; null: a file of the image."),
    size_before: z.int().nullable().describe("Of files."),
    size_after: z.int().nullable(),
  })
  .meta({ id: "FileChange" });
export type FileChangeWire = z.infer<typeof FileChange>;

export const DIFF_LIMIT = { default: 1_000, most: 10_000 } as const;

export const diffWorkspaceVersions = route({
  method: "GET",
  path: "/mags-workspaces/{id}/versions/{version}/diff",
  summary: "List the files that changed from one version of a workspace to another",
  description:
    "Files are compared by what their inodes say, and by content where that leaves it open; of a folder its time is not compared. A file of the image that was replaced by another is `added`: versions do not have the image's files. The first comparison of versions reads them from the object store; one that takes longer than a minute is answered with 503, and goes on from there when it is repeated.",
  auth: "account",
  params: WorkspaceParams.extend({ version: z.coerce.number().int().positive() }),
  query: z.object({
    with: z.coerce.number().int().positive().optional().describe("The other version. Default: the latest."),
    limit: z.coerce
      .number()
      .int()
      .min(1)
      .max(DIFF_LIMIT.most)
      .default(DIFF_LIMIT.default)
      .describe("Most changes; a reply has fewer when their paths are long."),
    after: z.string().max(8_192).optional().describe("`next` of the reply before, to go on behind it."),
  }),
  responses: {
    200: z
      .object({
        workspace_id: z.string(),
        ...{ version: z.int(), with: z.int() },
        changes: z.array(FileChange).describe("By the bytes of their paths, a folder before what is in it."),
        next: z.string().nullable().describe("There are more: to be sent as `after`. Null: that was all."),
      })
      .meta({ id: "WorkspaceDiff" }),
  },
  errors: [400, 404, 503],
});

export const restoreWorkspace = route({
  method: "POST",
  path: "/mags-workspaces/{id}/restore",
  summary: "Make an older version of a workspace its newest",
  description:
    "Later versions stay. Refused with 409 while the workspace is open, and when it has got another version meanwhile. After a 503 it may have been done; whether, the list of versions tells as soon as the workspace can be opened again, and nothing of it happens later. Asking again is harmless.",
  auth: "account",
  params: WorkspaceParams,
  body: z.object({ version: z.int().positive() }).meta({ id: "RestoreWorkspace" }),
  responses: { 200: Done.extend({ version: z.int().describe("The new version.") }).meta({ id: "RestoredWorkspace" }) },
  errors: [404, 409],
});
