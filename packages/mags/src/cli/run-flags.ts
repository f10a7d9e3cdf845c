import type { RunOptions } from "../sdk/run-options.ts";
import { Failure } from "./failure.ts";
import type { Assignments } from "./flag-values.ts";

/** Options of `mags run` as they are parsed. */
export interface RunFlags {
  readonly workspace?: string;
  /** Another word for `workspace`. */
  readonly name?: string;
  readonly persistent?: boolean;
  readonly base?: string;
  /** `false`: `--no-sleep`. */
  readonly sleep: boolean;
  /** `false`: `--no-sync`. */
  readonly sync: boolean;
  /** Minutes. */
  readonly idle?: number;
  readonly startupCommand?: string;
  readonly replace?: boolean;
  readonly ephemeral?: boolean;
  /** Paths of files to upload. */
  readonly file?: readonly string[];
  readonly env?: Assignments;
  /** Milliseconds. */
  readonly timeout?: number;
  readonly disk?: number;
  readonly vcpus?: number;
  readonly memory?: number;
  readonly image?: string;
  readonly egress?: RunOptions["egress"];
  readonly label?: Assignments;
  readonly type?: "inline" | "url";
  readonly url?: boolean;
  /** In the VM, of the URL. */
  readonly port?: number;
  readonly scriptFile?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

/** @throws Failure where they contradict each other. */
export function runOptions(flags: RunFlags): RunOptions {
  const workspace = flags.workspace ?? flags.name;
  if (flags.ephemeral && (workspace !== undefined || flags.persistent || flags.base !== undefined))
    throw new Failure("--ephemeral cannot be combined with --workspace, --name, --persistent or --base");
  if (!flags.persistent) {
    const needing = {
      "--no-sleep": !flags.sleep,
      "--idle": flags.idle,
      "--startup-command": flags.startupCommand,
      "--url": flags.url,
    };
    for (const [flag, value] of Object.entries(needing))
      if (value) throw new Failure(`${flag} needs --persistent (-p)`);
  }
  if (flags.port !== undefined && !flags.url) throw new Failure("--port needs --url");
  if (flags.url && flags.detach)
    throw new Failure("--url cannot be combined with --detach: it returns when the URL answers");
  return {
    name: workspace,
    workspaceId: workspace,
    persistent: flags.persistent,
    baseWorkspaceId: flags.base,
    noSleep: !flags.sleep,
    noSync: !flags.sync,
    idleMinutes: flags.idle,
    startupCommand: flags.startupCommand,
    replace: flags.replace,
    ephemeral: flags.ephemeral,
    environment: flags.env,
    scriptTimeout: flags.timeout,
    diskGb: flags.disk,
    vcpus: flags.vcpus,
    memoryMb: flags.memory,
    rootfsType: flags.image,
    egress: flags.egress,
    labels: flags.label,
    type: flags.type,
  };
}
