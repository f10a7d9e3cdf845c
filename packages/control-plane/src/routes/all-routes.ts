import type { RouteName } from "@mags/api-schema";
import type { BoundRoute } from "../http/route.ts";
import { addSshKeyRoute } from "./add-ssh-key.ts";
import { auditLogRoute } from "./audit-log.ts";
import { challengeSshKeyRoute } from "./challenge-ssh-key.ts";
import { makeFolderRoute, removeFileRoute, renameFileRoute } from "./change-files.ts";
import { createTokenRoute } from "./create-token.ts";
import { deleteTokenRoute } from "./delete-token.ts";
import { deleteWorkspaceRoute } from "./delete-workspace.ts";
import type { RouteDeps } from "./deps.ts";
import { diffWorkspaceVersionsRoute } from "./diff-workspace-versions.ts";
import { enableAccessRoute } from "./enable-access.ts";
import { execAttachRoute } from "./exec-attach.ts";
import { execInJobRoute } from "./exec-in-job.ts";
import { execStreamRoute } from "./exec-stream.ts";
import { getArchiveRoute, putArchiveRoute } from "./file-archive.ts";
import { getJobRoute } from "./get-job.ts";
import { getLogsRoute } from "./get-logs.ts";
import { getStatusRoute } from "./get-status.ts";
import { listEventsRoute } from "./list-events.ts";
import { listFilesRoute, statFileRoute } from "./list-files.ts";
import { listJobsRoute } from "./list-jobs.ts";
import { listSshKeysRoute } from "./list-ssh-keys.ts";
import { listTokensRoute } from "./list-tokens.ts";
import { listWorkspaceVersionsRoute } from "./list-workspace-versions.ts";
import { listWorkspacesRoute } from "./list-workspaces.ts";
import { meRoute } from "./me.ts";
import { poolStatusRoute } from "./pool-status.ts";
import { getFileRoute, headFileRoute } from "./read-file.ts";
import { removeSshKeyRoute } from "./remove-ssh-key.ts";
import { restoreWorkspaceRoute } from "./restore-workspace.ts";
import { sleepJobRoute } from "./sleep-job.ts";
import { sshServiceRoute } from "./ssh-service.ts";
import { stopJobRoute } from "./stop-job.ts";
import { submitJobRoute } from "./submit-job.ts";
import { syncJobRoute } from "./sync-job.ts";
import { updateJobRoute } from "./update-job.ts";
import { uploadFilesRoute } from "./upload-files.ts";
import { createUrlAliasRoute, deleteUrlAliasRoute, listUrlAliasesRoute, moveUrlAliasRoute } from "./url-aliases.ts";
import { createUrlLinkRoute, listUrlLinksRoute, revokeUrlLinkRoute } from "./url-links.ts";
import { urlTrafficRoute } from "./url-traffic.ts";
import { usageRoute } from "./usage.ts";
import { wakeJobRoute } from "./wake-job.ts";
import { putFileRoute } from "./write-file.ts";

/** Every route of the schema has its answer here: the type sees to it. */
const ROUTE_MAKERS: Readonly<Record<RouteName, (deps: RouteDeps) => BoundRoute>> = {
  submitJob: submitJobRoute,
  listJobs: listJobsRoute,
  poolStatus: poolStatusRoute,
  usage: usageRoute,
  getJob: getJobRoute,
  getStatus: getStatusRoute,
  getLogs: getLogsRoute,
  updateJob: updateJobRoute,
  sleepJob: sleepJobRoute,
  wakeJob: wakeJobRoute,
  syncJob: syncJobRoute,
  stopJob: stopJobRoute,
  execInJob: execInJobRoute,
  execStream: execStreamRoute,
  execAttach: execAttachRoute,
  enableAccess: enableAccessRoute,
  listEvents: listEventsRoute,
  uploadFiles: uploadFilesRoute,
  getFile: getFileRoute,
  headFile: headFileRoute,
  putFile: putFileRoute,
  removeFile: removeFileRoute,
  statFile: statFileRoute,
  listFiles: listFilesRoute,
  renameFile: renameFileRoute,
  makeFolder: makeFolderRoute,
  getArchive: getArchiveRoute,
  putArchive: putArchiveRoute,
  listWorkspaces: listWorkspacesRoute,
  deleteWorkspace: deleteWorkspaceRoute,
  listWorkspaceVersions: listWorkspaceVersionsRoute,
  diffWorkspaceVersions: diffWorkspaceVersionsRoute,
  restoreWorkspace: restoreWorkspaceRoute,
  sshService: sshServiceRoute,
  me: meRoute,
  listTokens: listTokensRoute,
  createToken: createTokenRoute,
  deleteToken: deleteTokenRoute,
  listSshKeys: listSshKeysRoute,
  challengeSshKey: challengeSshKeyRoute,
  addSshKey: addSshKeyRoute,
  removeSshKey: removeSshKeyRoute,
  auditLog: auditLogRoute,
  listUrlAliases: listUrlAliasesRoute,
  createUrlAlias: createUrlAliasRoute,
  moveUrlAlias: moveUrlAliasRoute,
  deleteUrlAlias: deleteUrlAliasRoute,
  createUrlLink: createUrlLinkRoute,
  listUrlLinks: listUrlLinksRoute,
  revokeUrlLink: revokeUrlLinkRoute,
  urlTraffic: urlTrafficRoute,
};

export function allRoutes(deps: RouteDeps): readonly BoundRoute[] {
  return Object.values(ROUTE_MAKERS).map((make) => make(deps));
}
