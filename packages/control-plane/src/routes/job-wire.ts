import type { jobs } from "@mags/api-schema";
import type { EgressPolicy } from "@mags/domain";
import type { Job } from "../app/job.ts";

export function statusToWire(job: Job): jobs.StatusWire {
  const { sandbox } = job;
  const transition = sandbox?.lastTransition;
  return {
    request_id: job.id,
    name: job.name,
    status: job.status,
    ...(job.workspaceId !== null && { workspace_id: job.workspaceId }),
    ...(job.status === "running" && job.microVmId !== null && { vm_id: job.microVmId }),
    ...(sandbox && job.persistent && { subdomain: sandbox.subdomain }),
    ...(job.exitCode !== null && { exit_code: job.exitCode }),
    ...(job.errorMessage !== null && { error_message: job.errorMessage }),
    ...(job.scriptDurationMs !== null && { script_duration_ms: job.scriptDurationMs }),
    created_at: job.createdAt.toISOString(),
    ...(job.startedAt && { started_at: job.startedAt.toISOString() }),
    ...(job.completedAt && { completed_at: job.completedAt.toISOString() }),
    persistent: job.persistent,
    no_sleep: job.noSleep,
    no_sync: job.noSync,
    ...(job.startupCommand !== null && { startup_command: job.startupCommand }),
    ...(job.idleMinutes !== null && { idle_minutes: job.idleMinutes }),
    ...(transition && {
      last_transition: {
        name: transition.name,
        ...(transition.reason !== null && { reason: transition.reason }),
        at: transition.at,
      },
    }),
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
