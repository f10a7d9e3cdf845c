export type { AccessOptions } from "./access.ts";
export { DEFAULT_API_URL } from "./api-url.ts";
export { type ClientErrorCode, MagsError, type MagsErrorDetails } from "./errors.ts";
export type { ExecOptions, ExecResult } from "./exec.ts";
export type { ExecExit, ExecPiece, ExecStream, ExecStreamOptions, ExecTerminal } from "./exec-stream.ts";
export type { FollowOptions } from "./follow-logs.ts";
export type { FileCallOptions, FileContent, FilePath, JobFiles, WriteFileOptions } from "./job-files.ts";
export {
  type AuditLogOptions,
  type Cancellable,
  type FinishedJob,
  type ListOptions,
  type LogsOptions,
  Mags,
  type MagsOptions,
  type RunAndWaitOptions,
  type StopOptions,
  type SubmitOptions,
  type SubmittedJob,
} from "./mags.ts";
export type { FileDownload, ReadFileOptions } from "./read-file.ts";
export type { RunOptions } from "./run-options.ts";
export type { JobUpdate, NewOptions, RunningSandbox } from "./sandboxes.ts";
export type { AccountSshKeys, AddSshKeyOptions } from "./ssh-keys.ts";
export type { UrlLinkOptions, UrlTrafficOptions } from "./urls.ts";
export type {
  Access,
  AccessToken,
  AccessTokens,
  AuditEntry,
  AuditLog,
  Done,
  FileChange,
  FileEntry,
  FileInfo,
  FileList,
  FileWritten,
  HttpAccess,
  Job,
  JobEvent,
  JobEvents,
  JobPage,
  JobStatus,
  LogEntry,
  Logs,
  Me,
  NewAccessToken,
  NewUrlLink,
  PoolStatus,
  RestoredWorkspace,
  SshAccess,
  SshKey,
  SshKeys,
  SshService,
  Stopped,
  SubmitReply,
  Synced,
  SyncProgress,
  UpdatedJob,
  UrlAccess,
  UrlAlias,
  UrlAliases,
  UrlCounters,
  UrlLink,
  UrlLinks,
  UrlTraffic,
  Usage,
  Workspace,
  WorkspaceBase,
  WorkspaceDiff,
  Workspaces,
  WorkspaceVersion,
  WorkspaceVersions,
} from "./wire.generated.ts";
export type { DiffOptions } from "./workspaces.ts";
