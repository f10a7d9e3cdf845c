export {
  type AccountId,
  type Id,
  isUuid,
  type JobId,
  type MicroVmId,
  newJobId,
  newMicroVmId,
  type TokenId,
} from "./ids.ts";
export { isTerminal, JOB_STATUSES, type JobStatus } from "./job-status.ts";
export { createLineSplitter, type LineSplitter, type LogLine, MAX_LINE_BYTES } from "./log-lines.ts";
export { isReservedName, NAME_PATTERN, RESERVED_NAMES } from "./names.ts";
export type {
  EgressPolicy,
  ExecRequest,
  ExecResult,
  JobCommand,
  JobEnd,
  JobStart,
  JobUpdate,
  LogRecord,
  LogSink,
  LogSource,
  LogTail,
  MicroVmSize,
  NodeDescription,
  NodeRuntime,
  ObservedJob,
  PoolStatus,
} from "./node-runtime.ts";
export { MAX_SCRIPT_BYTES, type NormalizedScript, normalizeScript } from "./script.ts";
