import type { jobs } from "@mags/api-schema";
import type { EgressPolicy, NodeRuntime } from "@mags/domain";
import type { Job } from "../app/job.ts";
import type { UrlService } from "../app/url-service.ts";
import { runningToWire, syncedAt } from "./workspace-wire.ts";

/** What knows how far syncs are, and which VMs stand still. */
type Seen = Pick<NodeRuntime, "observeSandboxes">;

interface WireDeps {
  readonly node: Seen;
  readonly urls: Pick<UrlService, "urlOf"> | null;
}

export function statusToWire(job: Job, { node, urls }: WireDeps): jobs.StatusWire {
  const { sandbox } = job;
  const transition = sandbox?.lastTransition;
  return {
    request_id: job.id,
    name: job.name,
    status: job.status,
    ...(job.workspaceId !== null && { workspace_id: job.workspaceId }),
    ...(job.status === "running" && job.microVmId !== null && { vm_id: job.microVmId }),
    ...(sandbox && job.persistent && { subdomain: sandbox.subdomain }),
    ...urlToWire(job, urls),
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
    ...syncToWire(job, node),
    ...waitToWire(job, node),
    disk_gb: job.size.diskGiB,
    vcpus: job.size.vcpus,
    memory_mb: job.size.memoryMiB,
    rootfs_type: job.size.image,
    egress: egressToWire(job.size.egress),
    labels: job.labels,
  };
}

/** Those of a persistent job are its own; another's that it borrows are not told of here. */
function urlToWire({ sandbox, persistent }: Job, urls: WireDeps["urls"]) {
  if (!sandbox || !persistent || !urls || sandbox.state === "gone") return {};
  const { subdomain, urlPort, isUrlPrivate } = sandbox;
  return {
    ...(urlPort !== null && { url: urls.urlOf(subdomain), url_port: urlPort }),
    url_private: isUrlPrivate,
  };
}

function egressToWire(egress: EgressPolicy): jobs.StatusWire["egress"] {
  return typeof egress === "string" ? egress : { allow: [...egress.allow] };
}

/** While the sandbox stays: later it says nothing of the workspace. */
function syncToWire({ sandbox }: Job, node: Seen): Pick<jobs.StatusWire, "sync"> {
  if (!sandbox?.sync || sandbox.state === "gone") return {};
  const { seq: version, lastSyncedAt } = sandbox.sync;
  const seen = node.observeSandboxes().find(({ sandboxId }) => sandboxId === sandbox.id)?.sync ?? null;
  return {
    sync: {
      ...{ version, last_synced_at: syncedAt(lastSyncedAt, seen) },
      ...{ behind_bytes: seen?.behindBytes ?? 0, failure: seen?.failure ?? null, running: runningToWire(seen) },
    },
  };
}

function waitToWire({ sandbox }: Job, node: Seen): Pick<jobs.StatusWire, "waits_for"> {
  const seen = node.observeSandboxes().find(({ sandboxId }) => sandboxId === sandbox?.id);
  return seen?.waitsFor ? { waits_for: seen.waitsFor } : {};
}

export function jobToWire(job: Job, deps: WireDeps): jobs.JobWire {
  return { id: job.id, ...statusToWire(job, deps) };
}
