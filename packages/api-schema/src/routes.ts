import { enableAccess, sshService } from "./access.ts";
import { auditLog } from "./audit-log.ts";
import { execAttach, execStream } from "./exec-stream.ts";
import {
  getArchive,
  getFile,
  headFile,
  listFiles,
  makeFolder,
  putArchive,
  putFile,
  removeFile,
  renameFile,
  statFile,
  uploadFiles,
} from "./files.ts";
import { execInJob, getJob, getStatus, listEvents, listJobs, submitJob } from "./jobs.ts";
import { getLogs } from "./logs.ts";
import { sleepJob, stopJob, syncJob, updateJob, wakeJob } from "./sandboxes.ts";
import { me, poolStatus, usage } from "./service.ts";
import { addSshKey, challengeSshKey, listSshKeys, removeSshKey } from "./ssh-keys.ts";
import { createToken, deleteToken, listTokens } from "./tokens.ts";
import {
  createUrlAlias,
  createUrlLink,
  deleteUrlAlias,
  listUrlAliases,
  listUrlLinks,
  moveUrlAlias,
  revokeUrlLink,
  urlTraffic,
} from "./urls.ts";
import {
  deleteWorkspace,
  diffWorkspaceVersions,
  listWorkspaces,
  listWorkspaceVersions,
  restoreWorkspace,
} from "./workspaces.ts";

/** Every route below `/api/v1`, by the name that clients and tests use for it. */
export const ROUTES = {
  submitJob,
  listJobs,
  poolStatus,
  usage,
  getJob,
  getStatus,
  getLogs,
  updateJob,
  sleepJob,
  wakeJob,
  syncJob,
  stopJob,
  execInJob,
  execStream,
  execAttach,
  enableAccess,
  listEvents,
  uploadFiles,
  getFile,
  headFile,
  putFile,
  removeFile,
  statFile,
  listFiles,
  renameFile,
  makeFolder,
  getArchive,
  putArchive,
  listWorkspaces,
  deleteWorkspace,
  listWorkspaceVersions,
  diffWorkspaceVersions,
  restoreWorkspace,
  sshService,
  me,
  listTokens,
  createToken,
  deleteToken,
  listSshKeys,
  challengeSshKey,
  addSshKey,
  removeSshKey,
  auditLog,
  listUrlAliases,
  createUrlAlias,
  moveUrlAlias,
  deleteUrlAlias,
  createUrlLink,
  listUrlLinks,
  revokeUrlLink,
  urlTraffic,
} as const;

export type RouteName = keyof typeof ROUTES;
