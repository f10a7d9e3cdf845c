import type { JobStatus, SyncProgress } from "../../sdk/wire.generated.ts";
import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { age, bytes, duration, paintStatus, runningText, writeFields } from "../format.ts";

export async function status(cli: Cli, name: string, flags: { readonly json?: boolean }): Promise<number> {
  const mags = await connect(cli);
  const job = await mags.status(name);
  if (flags.json) {
    await printJson(cli, job);
    return 0;
  }
  const labels = Object.entries(job.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const fields: readonly (readonly [string, string | number | undefined])[] = [
    ["ID", job.request_id],
    ["Name", job.name],
    ["Workspace", job.workspace_id],
    ["Status", paintStatus(cli.styles.stdout, job.status)],
    ["Error", job.error_message],
    ["Waits", job.waits_for],
    ["Exit code", job.exit_code],
    ["Ran for", job.script_duration_ms === undefined ? undefined : duration(job.script_duration_ms)],
    ["VM", job.vm_id],
    ["Sleep", job.persistent ? sleepText(job) : undefined],
    ["Synced", job.sync && syncText(job.sync, cli.now())],
    ["Last change", lastChange(job)],
    ["On cold wake", job.startup_command],
    ["Size", `${job.vcpus} vCPU, ${job.memory_mb} MB memory, ${job.disk_gb} GB disk`],
    ["Image", job.rootfs_type],
    ["Labels", labels.length > 0 ? labels.join(" ") : undefined],
    ["Created", job.created_at],
    ["Started", job.started_at],
    ["Completed", job.completed_at],
  ];
  await print(cli, writeFields(fields));
  return 0;
}

function sleepText({ no_sleep, idle_minutes }: JobStatus): string {
  return no_sleep ? "never by itself" : `when idle for ${idle_minutes ?? "?"} min`;
}

function syncText({ version, last_synced_at, behind_bytes, failure, running }: SyncProgress, nowMs: number): string {
  const when = last_synced_at === null ? "not yet" : `${age(last_synced_at, nowMs)} ago`;
  const parts = [
    version === null ? when : `version ${version}, ${when}`,
    ...(behind_bytes > 0 ? [`${bytes(behind_bytes)} behind`] : []),
    ...(running ? [runningText(running)] : []),
    ...(failure === null ? [] : [`failed: ${failure}`]),
  ];
  return parts.join("; ");
}

function lastChange({ last_transition: last }: JobStatus): string | undefined {
  return last && `${last.name} ${last.at}${last.reason === undefined ? "" : `: ${last.reason}`}`;
}
