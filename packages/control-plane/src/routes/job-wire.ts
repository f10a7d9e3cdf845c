import type { jobs } from "@mags/api-schema";
import type { EgressPolicy } from "@mags/domain";
import type { Job } from "../app/job.ts";

export function statusToWire(job: Job): jobs.StatusWire {
  const attached = job.status === "running" || job.status === "sleeping";
  return {
    request_id: job.id,
    name: job.name,
    status: job.status,
    ...(attached && job.microVmId !== null && { vm_id: job.microVmId }),
    ...(job.exitCode !== null && { exit_code: job.exitCode }),
    ...(job.errorMessage !== null && { error_message: job.errorMessage }),
    ...(job.scriptDurationMs !== null && { script_duration_ms: job.scriptDurationMs }),
    created_at: job.createdAt.toISOString(),
    ...(job.startedAt && { started_at: job.startedAt.toISOString() }),
    ...(job.completedAt && { completed_at: job.completedAt.toISOString() }),
    // This build refuses jobs that are persistent or kept awake.
    persistent: false,
    no_sleep: false,
    no_sync: job.noSync,
    disk_gb: job.size.diskGiB,
    vcpus: job.size.vcpus,
    memory_mb: job.size.memoryMiB,
    rootfs_type: job.size.image,
    egress: egressToWire(job.size.egress),
    labels: job.labels,
  };
}

function egressToWire(egress: EgressPolicy): jobs.StatusWire["egress"] {
  return typeof egress === "string" ? egress : { allow: [...egress.allow] };
}

export function jobToWire(job: Job): jobs.JobWire {
  return { id: job.id, ...statusToWire(job) };
}
