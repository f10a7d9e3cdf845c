import type { EgressPolicy, SandboxPolicy, SyncTarget } from "@mags/domain";

/** What holds where a job says nothing. */
export interface SandboxDefaults {
  /** Nothing done for so long: a persistent job's sandbox sleeps. */
  readonly idleMinutes: number;
  /** How long a workspace without a persistent job stays warm. */
  readonly warmMs: number;
}

/** What decides how a sandbox is treated. */
export interface PolicyFacts {
  readonly kept: boolean;
  /** It belongs to a workspace: others may come to use it. */
  readonly named: boolean;
  readonly egress: EgressPolicy;
  readonly owner: {
    readonly noSleep: boolean;
    readonly idleMinutes: number;
    readonly startupCommand: string | null;
  } | null;
  readonly syncTo: SyncTarget | null;
}

const MINUTE_MS = 60_000;

export function policyOf(
  { kept, named, egress, owner, syncTo }: PolicyFacts,
  defaults: SandboxDefaults,
): SandboxPolicy {
  const startupCommand = owner?.startupCommand ?? null;
  const common = { startupCommand, alwaysOn: owner?.noSleep ?? false, egress, syncTo };
  // Without a name nobody can come back to it.
  if (!owner && !kept) return { ...common, idle: { action: "release", afterMs: named ? defaults.warmMs : 0 } };
  const afterMs = (owner ?? defaults).idleMinutes * MINUTE_MS;
  return { ...common, idle: { action: owner?.noSleep ? "none" : "sleep", afterMs } };
}
