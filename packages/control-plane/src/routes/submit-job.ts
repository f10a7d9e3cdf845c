import { type jobs, ROUTES } from "@mags/api-schema";
import type { JobRequest } from "../app/new-job.ts";
import { submitJob } from "../app/submit-job.ts";
import type { BaseName } from "../app/workspace.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function submitJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.submitJob, async ({ body, account, receivedMs }) => {
    const request = fromWire(body);
    await deps.uploads.check(account.id, request.fileIds);
    const jobId = await deps.intake.take(() => submitJob(deps, request, { accountId: account.id, receivedMs }));
    return { request_id: jobId, status: "accepted" as const, message: "Mags job submitted successfully" };
  });
}

function fromWire(body: jobs.SubmitJobWire): JobRequest {
  return {
    name: body.name ?? null,
    command: body.type === "url" ? { kind: "url", url: body.script.trim() } : { kind: "inline", script: body.script },
    environment: body.environment,
    image: body.rootfs_type ?? null,
    egress: body.egress ?? null,
    vcpus: body.vcpus ?? null,
    memoryMiB: body.memory_mb ?? null,
    // Clients send 0 where nothing is asked for.
    diskGiB: body.disk_gb || null,
    timeoutMs: body.timeout === undefined ? null : Math.ceil(body.timeout * 1000),
    labels: body.labels,
    noSync: body.no_sync,
    fileIds: body.file_ids ?? [],
    workspaceId: body.workspace_id ?? null,
    base: baseFromWire(body.base_workspace_id ?? null),
    persistent: body.persistent,
    noSleep: body.no_sleep,
    startupCommand: body.startup_command || null,
    idleMinutes: body.idle_minutes ?? null,
    replace: body.replace ?? false,
  };
}

/** As the schema has it: `name` or `name@version`. */
function baseFromWire(base: string | null): BaseName | null {
  if (base === null) return null;
  const [name = "", seq] = base.split("@");
  return { name, seq: seq === undefined ? null : Number(seq) };
}
