import { AppError } from "@mags/core";
import {
  type AccountId,
  type EgressPolicy,
  isEndlessSleep,
  type JobCommand,
  type JobId,
  MIN_MEMORY_MIB,
  type MicroVmSize,
  type NodeDescription,
  normalizeAllowedHost,
  normalizeScript,
} from "@mags/domain";
import type { NewJob, NewJobEvent } from "./job.ts";
import { MIN_DISK_GIB } from "./least-disk.ts";
import type { BaseName } from "./workspace.ts";

/** What a user asks for; `null` where the installation's default shall apply. */
export interface JobRequest {
  readonly name: string | null;
  readonly command: JobCommand;
  readonly environment: Readonly<Record<string, string>>;
  readonly image: string | null;
  /** The image is that of the files that it begins as: the node fetches it when it lacks it. */
  readonly hasImageOfFiles?: boolean;
  readonly egress: EgressPolicy | null;
  readonly vcpus: number | null;
  readonly memoryMiB: number | null;
  readonly diskGiB: number | null;
  readonly timeoutMs: number | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly noSync: boolean;
  /** Uploads of the account. */
  readonly fileIds: readonly string[];
  readonly workspaceId: string | null;
  /** The workspace that its files begin as. */
  readonly base: BaseName | null;
  readonly persistent: boolean;
  readonly noSleep: boolean;
  readonly startupCommand: string | null;
  readonly idleMinutes: number | null;
  /** Ends scripts that run in the workspace and stand in the way. */
  readonly replace: boolean;
}

const DEFAULT_IMAGE = "standard";

/**
 * Makes the job that a request describes, within what the node can give.
 * @throws AppError `validation_failed` that names the field, the limit and the cure.
 */
export function planJob(
  request: JobRequest,
  context: {
    readonly id: JobId;
    readonly accountId: AccountId;
    readonly now: Date;
    readonly node: NodeDescription;
    readonly idleMinutes: number;
  },
): { readonly job: NewJob; readonly events: readonly NewJobEvent[] } {
  if (!request.persistent) refuseWhatNeedsPersistence(request);
  const { command, converted } = normalized(request.command);
  const job: NewJob = {
    id: context.id,
    accountId: context.accountId,
    name: request.name ?? `job-${context.id.slice(0, 8)}`,
    command,
    environment: request.environment,
    size: sizeOf(request, context.node),
    timeoutMs: request.timeoutMs,
    labels: request.labels,
    noSync: request.noSync,
    fileIds: request.fileIds,
    workspaceId: request.workspaceId,
    persistent: request.persistent,
    noSleep: request.noSleep,
    startupCommand: request.startupCommand,
    idleMinutes: request.persistent ? (request.idleMinutes ?? context.idleMinutes) : null,
    endless: command.kind === "inline" && isEndlessSleep(command.script),
    sandbox: null,
    createdAt: context.now,
  };
  const events: NewJobEvent[] = [{ at: context.now, name: "submitted", data: { ...job.size } }];
  if (converted) events.push({ at: context.now, name: "script_converted", data: {} });
  return { job, events };
}

function refuseWhatNeedsPersistence({ noSleep, idleMinutes, startupCommand }: JobRequest): void {
  const field =
    (noSleep && "no_sleep") ||
    (idleMinutes !== null && "idle_minutes") ||
    (startupCommand !== null && startupCommand !== "" && "startup_command");
  if (field) throw refused(`${field}: needs persistent: a VM that ends with its script does not sleep`);
}

function normalized(command: JobCommand): { readonly command: JobCommand; readonly converted: boolean } {
  if (command.kind === "url") return { command, converted: false };
  const { script, crlfConverted } = normalizeScript(command.script);
  return { command: { kind: "inline", script }, converted: crlfConverted };
}

function sizeOf(request: JobRequest, node: NodeDescription): MicroVmSize {
  const image = request.image ?? DEFAULT_IMAGE;
  if (!request.hasImageOfFiles && !node.images.includes(image))
    throw refused(`rootfs_type: there is no image ${JSON.stringify(image)}; there are ${node.images.join(", ")}`);
  const memoryMiB = request.memoryMiB ?? node.defaultMemoryMiB;
  if (memoryMiB < MIN_MEMORY_MIB) throw refused(`memory_mb: must be at least ${MIN_MEMORY_MIB}, not ${memoryMiB}`);
  return {
    image,
    vcpus: atMost("vcpus", request.vcpus ?? node.defaultVcpus, node.maxVcpus),
    memoryMiB: atMost("memory_mb", memoryMiB, node.maxMemoryMiB),
    diskGiB: atMost("disk_gb", Math.max(request.diskGiB ?? MIN_DISK_GIB, MIN_DISK_GIB), node.maxDiskGiB),
    egress: normalizedEgress(request.egress ?? "filtered"),
  };
}

export function normalizedEgress(egress: EgressPolicy): EgressPolicy {
  if (typeof egress === "string") return egress;
  return { allow: [...new Set(egress.allow.map((host) => normalizeAllowedHost(host) ?? refuseHost(host)))] };
}

function refuseHost(host: string): never {
  throw refused(`egress: ${JSON.stringify(host)} is no host name`);
}

function atMost(field: string, value: number, limit: number): number {
  if (value > limit) throw refused(`${field}: this server gives at most ${limit}, not ${value}`);
  return value;
}

function refused(message: string): AppError {
  return new AppError("validation_failed", message);
}
