import { type jobs, ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import type { JobRequest } from "../app/new-job.ts";
import { submitJob } from "../app/submit-job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function submitJobRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.submitJob, async ({ body, account, receivedMs }) => {
    refuseUnsupported(body);
    const request = fromWire(body);
    await deps.uploads.check(account.id, request.fileIds);
    const jobId = await deps.intake.take(() => submitJob(deps, request, { accountId: account.id, receivedMs }));
    return { request_id: jobId, status: "accepted" as const, message: "Mags job submitted successfully" };
  });
}

/** Fields of the API that this build does not have yet: better refused than silently without effect. */
const UNSUPPORTED = ["base_workspace_id"] as const satisfies readonly (keyof jobs.SubmitJobWire)[];

function refuseUnsupported(body: jobs.SubmitJobWire): void {
  for (const field of UNSUPPORTED) if (isSet(body[field])) throw notSupported(field);
  if (body.persistent && isSet(body.workspace_id) && !body.no_sync)
    throw new AppError(
      "not_supported",
      "workspace_id: a persistent job with a workspace is synced, which is not supported by this version of the server: set no_sync to keep it on the disk of its VM (mags new NAME, or mags run --no-sync), leave out workspace_id, or leave out persistent",
    );
}

/** Clients of other languages send some fields as `null`, `false` or empty when they mean that they are not set. */
function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value !== undefined && value !== null && value !== false && value !== "";
}

function notSupported(field: string): AppError {
  return new AppError("not_supported", `${field}: not supported by this version of the server: leave it out`);
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
    diskGiB: body.disk_gb ?? null,
    timeoutMs: body.timeout === undefined ? null : Math.ceil(body.timeout * 1000),
    labels: body.labels,
    noSync: body.no_sync,
    fileIds: body.file_ids ?? [],
    workspaceId: body.workspace_id ?? null,
    persistent: body.persistent,
    noSleep: body.no_sleep,
    startupCommand: body.startup_command || null,
    idleMinutes: body.idle_minutes ?? null,
    replace: body.replace ?? false,
  };
}
