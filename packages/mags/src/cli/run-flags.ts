import type { RunOptions } from "../sdk/run-options.ts";
import type { Assignments } from "./flag-values.ts";

/** Options of `mags run` as they are parsed. */
export interface RunFlags {
  readonly name?: string;
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
  readonly scriptFile?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

export function runOptions(flags: RunFlags): RunOptions {
  return {
    name: flags.name,
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
