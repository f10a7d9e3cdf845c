/** What a check of the host is. */
import type { RuntimeRoot } from "@mags/runtime-root";
import type { NodeConfig } from "../config.ts";
import type { Artifacts } from "../images/artifacts.ts";

export interface HostCheck {
  readonly name: string;
  /** `warn`: it works, but not as well as it could. */
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do, when it is not ok. */
  readonly cure?: string;
}

export type Verdict = Omit<HostCheck, "name">;

export interface CheckContext {
  readonly artifactsFile: string;
  readonly dataDirectory: string;
  readonly config: NodeConfig;
  /** The installation, or why there is none. */
  readonly artifacts: Artifacts | Error;
}

export interface Check {
  readonly name: string;
  readonly look: (context: CheckContext) => Promise<Verdict>;
  /** What to do when the look itself fails. */
  readonly cure: string;
}

export const REINSTALL = "run ./quickstart again";

export const ok = (found: string): Verdict => ({ state: "ok", found });
export const warn = (found: string, cure: string): Verdict => ({ state: "warn", found, cure });
export const fail = (found: string, cure: string): Verdict => ({ state: "fail", found, cure });

/** For what is tried with the programs of the installation. */
export function installedRuntime(artifacts: CheckContext["artifacts"]): RuntimeRoot {
  if (artifacts instanceof Error) throw new Error("cannot be tried without the installation");
  return artifacts.runtime;
}
