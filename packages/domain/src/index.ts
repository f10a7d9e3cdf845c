export {
  type AccountLimits,
  type ExceededLimit,
  exceededLimit,
  type JobDemand,
  NO_USAGE,
  type Usage,
} from "./account-limits.ts";
export {
  type Admission,
  type AdmissionJob,
  type AdmissionLimits,
  type AdmissionPhase,
  type BookedSandbox,
  createAdmission,
  type NodeRoom,
  type WaitReason,
} from "./admission.ts";
export { AUDIT_ACTIONS, type AuditAction } from "./audit-action.ts";
export { allowsHost, type EgressPolicy, MAX_ALLOWED_HOSTS, normalizeAllowedHost } from "./egress.ts";
export { isEndlessSleep } from "./endless-sleep.ts";
export {
  type ExecAttachment,
  type ExecEnd,
  type ExecId,
  type ExecOutput,
  type ExecRuntime,
  type ExecStart,
  INPUT_WINDOW_BYTES,
  type TerminalSize,
} from "./exec-sessions.ts";
export {
  type FromGuest,
  type GuestEntry,
  type GuestFileInfo,
  type GuestFiles,
  type GuestFileType,
  type GuestFileWrite,
  NO_UPLOADS,
  type ToGuest,
  type UploadSource,
} from "./guest-files.ts";
export type { Arrival, GuestAddress, GuestListener, GuestSocket, GuestSockets } from "./guest-sockets.ts";
export {
  type AccountId,
  type Id,
  isUuid,
  type JobId,
  type MicroVmId,
  newJobId,
  newMicroVmId,
  newSandboxId,
  newSubdomain,
  newWorkspaceId,
  type SshKeyId,
  type TokenId,
} from "./ids.ts";
export { isTerminal, JOB_STATUSES, type JobStatus } from "./job-status.ts";
export { createLineSplitter, type LineSplitter, type LogLine, MAX_LINE_BYTES } from "./log-lines.ts";
export { isReservedName, NAME_PATTERN, RESERVED_NAMES } from "./names.ts";
export {
  type ExecRequest,
  type ExecResult,
  type JobCommand,
  type JobEnd,
  type JobStart,
  type JobUpdate,
  type LogRecord,
  type LogSink,
  type LogSource,
  type LogTail,
  MIN_MEMORY_MIB,
  type MicroVmSize,
  type NodeDescription,
  type NodeRuntime,
  type NodeUpdate,
  type ObservedJob,
  type PoolStatus,
} from "./node-runtime.ts";
export type {
  GuestId,
  IdlePolicy,
  ObservedSandbox,
  SandboxId,
  SandboxPolicy,
  SandboxRuntime,
  SandboxSpec,
  SandboxUpdate,
  SleepReason,
  WakeReason,
} from "./sandbox.ts";
export { MAX_SCRIPT_BYTES, type NormalizedScript, normalizeScript } from "./script.ts";
export type { SshDirectory, SshNote, SshPublicKey, SshSignIn, SshUser } from "./ssh-directory.ts";
export { fingerprintOf } from "./ssh-fingerprint.ts";
export type {
  HostOfGuest,
  UrlAccess,
  UrlCertificate,
  UrlDirectory,
  UrlRegister,
  UrlRoute,
  UrlVisit,
  UrlVisitor,
} from "./url-directory.ts";
export { MOST_USAGE_DAYS } from "./usage-window.ts";
export type {
  CollectedAccount,
  CollectedGarbage,
  CompactedWorkspace,
  FileChange,
  ObservedSync,
  RunningSync,
  SyncReason,
  SyncTarget,
  VersionDiff,
  VersionName,
  VersionRef,
  WorkspaceId,
  WorkspaceRef,
  WorkspaceRuntime,
  WorkspaceVersion,
} from "./workspace.ts";
