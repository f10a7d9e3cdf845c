import type { MicroVmSize } from "./node-runtime.ts";

/** What a job takes of its account's share. */
export type JobDemand = Pick<MicroVmSize, "vcpus" | "memoryMiB" | "diskGiB">;

/** What jobs take together. */
export interface Usage extends JobDemand {
  readonly vms: number;
}

/** What the live jobs of one account may take together; 0: no limit. */
export type AccountLimits = Usage;

/** Why one more job does not fit: `taken` and what the job asks for are more than `most`. */
export interface ExceededLimit {
  readonly limit: keyof AccountLimits;
  readonly taken: number;
  readonly asked: number;
  readonly most: number;
}

export const NO_USAGE: Usage = { vms: 0, vcpus: 0, memoryMiB: 0, diskGiB: 0 };

const KEYS = ["vms", "vcpus", "memoryMiB", "diskGiB"] as const;

/** The first limit that a job would break beside what is taken already; null when it fits. */
export function exceededLimit(limits: AccountLimits, usage: Usage, job: JobDemand): ExceededLimit | null {
  for (const limit of KEYS) {
    const [taken, most, asked] = [usage[limit], limits[limit], limit === "vms" ? 1 : job[limit]];
    if (most > 0 && taken + asked > most) return { limit, taken, asked, most };
  }
  return null;
}

export function addUsage(usage: Usage, job: JobDemand, sign: 1 | -1): Usage {
  return {
    vms: usage.vms + sign,
    vcpus: usage.vcpus + sign * job.vcpus,
    memoryMiB: usage.memoryMiB + sign * job.memoryMiB,
    diskGiB: usage.diskGiB + sign * job.diskGiB,
  };
}
