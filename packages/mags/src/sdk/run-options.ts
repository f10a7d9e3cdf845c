import { clientError } from "./errors.ts";
import type { SubmitJob } from "./wire.generated.ts";

/** Options of a submission. What a server does not support it refuses, with an error that names the field. */
export interface RunOptions {
  /** Name of the job. Default: generated. */
  readonly name?: string | undefined;
  /** `inline` (the default): `script` is the text. `url`: it is the http(s) address of one, fetched in the VM. */
  readonly type?: "inline" | "url" | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** How long the script may run, in ms; its exit code is 124 then. Default: no limit. */
  readonly scriptTimeout?: number | undefined;
  readonly diskGb?: number | undefined;
  readonly vcpus?: number | undefined;
  readonly memoryMb?: number | undefined;
  /** Name of a guest image. */
  readonly rootfsType?: string | undefined;
  /**
   * Network access: `filtered` (the default), `none`, or the hosts that may be reached; `*.example.org` for all names
   * below one.
   */
  readonly egress?: "filtered" | "none" | { readonly allow: readonly string[] } | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Leaves `workspaceId` out; not together with `persistent` or `baseWorkspaceId`. */
  readonly ephemeral?: boolean | undefined;
  /**
   * Jobs of one workspace run in one VM and see its files. With `persistent` it is synced to the object store; one that
   * was synced is opened as its latest version.
   */
  readonly workspaceId?: string | undefined;
  /** A synced workspace whose files the job begins with: its name, or `name@version`. It is never changed. */
  readonly baseWorkspaceId?: string | undefined;
  /** The VM stays when the script has ended, until the job is stopped. */
  readonly persistent?: boolean | undefined;
  /** The VM does not sleep when it is idle. Needs `persistent`. */
  readonly noSleep?: boolean | undefined;
  /** The workspace of a persistent job stays on the disk of its VM. */
  readonly noSync?: boolean | undefined;
  /** Run when the VM wakes without its memory. */
  readonly startupCommand?: string | undefined;
  /** The VM sleeps when it was idle for so long. */
  readonly idleMinutes?: number | undefined;
  /** Ends a script that runs in the workspace. */
  readonly replace?: boolean | undefined;
  /** Of `uploadFile`: put into /uploads and /root of the VM; the script starts in /uploads then. */
  readonly fileIds?: readonly string[] | undefined;
}

/** The body of a submission; keys of options that are not set are left out. */
export function submission(script: string, options: RunOptions): SubmitJob {
  refuseContradictions(options);
  return {
    script,
    type: options.type ?? "inline",
    persistent: options.persistent ?? false,
    ...given({
      name: options.name,
      environment: options.environment,
      timeout: options.scriptTimeout === undefined ? undefined : options.scriptTimeout / 1000,
      disk_gb: options.diskGb,
      vcpus: options.vcpus,
      memory_mb: options.memoryMb,
      rootfs_type: options.rootfsType,
      egress: typeof options.egress === "object" ? { allow: [...options.egress.allow] } : options.egress,
      labels: options.labels,
      workspace_id: options.ephemeral ? undefined : options.workspaceId,
      base_workspace_id: options.baseWorkspaceId,
      no_sleep: options.noSleep || undefined,
      no_sync: options.noSync || undefined,
      startup_command: options.startupCommand,
      idle_minutes: options.idleMinutes,
      replace: options.replace || undefined,
      file_ids: options.fileIds && [...options.fileIds],
    }),
  };
}

function refuseContradictions({ ephemeral, persistent, baseWorkspaceId, ...options }: RunOptions): void {
  if (ephemeral && (persistent || baseWorkspaceId !== undefined))
    throw clientError("invalid_argument", "ephemeral cannot be combined with persistent or baseWorkspaceId");
  if (persistent) return;
  for (const name of ["noSleep", "idleMinutes", "startupCommand"] as const)
    if (options[name]) throw clientError("invalid_argument", `${name} needs persistent: true`);
}

function given<T extends object>(entries: T): Partial<T> {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined)) as Partial<T>;
}
