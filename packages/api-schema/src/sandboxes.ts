import { z } from "zod";
import { flag } from "./flag.ts";
import { Done, IdleMinutes, JobParams, Labels, StartupCommand, Status } from "./jobs.ts";
import { route } from "./route.ts";

export const UpdateJob = z
  .object({
    startup_command: StartupCommand.optional().describe("Empty: none."),
    no_sleep: z.boolean().optional().describe("`true` also wakes a VM that sleeps."),
    idle_minutes: IdleMinutes.optional(),
    disk_gb: z.int().positive().optional().describe("Makes the disk larger; nothing is restarted."),
    labels: Labels.optional().describe("In place of those before."),
    url_private: z.boolean().optional().describe("Whether only links open the URL; holds within a second."),
  })
  .refine((body) => Object.values(body).some((value) => value !== undefined), {
    message: "changes nothing: give startup_command, no_sleep, idle_minutes, disk_gb, labels or url_private",
  })
  .meta({ id: "UpdateJob" });

export const UpdatedJob = Done.extend(Status.shape).meta({ id: "UpdatedJob" });

const StopQuery = z.object({
  script_only: flag.describe("`1`: end the script and leave the VM of a persistent job."),
  force: flag.describe("`1`: drop what changed in a synced workspace since its last sync, where it cannot be synced."),
});

export const Synced = Done.extend({ version: z.int().describe("The latest version of the workspace.") }).meta({
  id: "Synced",
});

export const Stopped = Done.extend({
  stopped: z.boolean().describe("`false`: it goes on ending, or waits until its last changes are synced; ask again."),
}).meta({ id: "Stopped" });

export const updateJob = route({
  method: "PATCH",
  path: "/mags-jobs/{id}",
  summary: "Change a job that lives",
  auth: "account",
  params: JobParams,
  body: UpdateJob,
  responses: { 200: UpdatedJob },
  errors: [404, 409],
});

export const sleepJob = route({
  method: "POST",
  path: "/mags-jobs/{id}/sleep",
  summary: "Put the VM of a persistent job to sleep",
  description: "Its memory goes to disk and what runs in it stands still. Answers when it sleeps; at once if it does.",
  auth: "account",
  params: JobParams,
  responses: { 200: Status },
  errors: [404, 409],
});

export const wakeJob = route({
  method: "POST",
  path: "/mags-jobs/{id}/wake",
  summary: "Wake the VM of a persistent job",
  description: "Answers when it runs; at once if it does.",
  auth: "account",
  params: JobParams,
  responses: { 200: Status },
  errors: [404, 409],
});

export const syncJob = route({
  method: "POST",
  path: "/mags-jobs/{id}/sync",
  summary: "Sync the workspace of a job",
  description:
    "Answers when what changed is in the object store; its VM runs on. 400 when the workspace is local, 503 while the object store is away, 507 while the host's disk is full: nothing is lost then.",
  auth: "account",
  params: JobParams,
  responses: { 200: Synced },
  errors: [404, 409, 507],
});

export const stopJob = route({
  method: "POST",
  path: "/mags-jobs/{id}/stop",
  summary: "Stop a job and release its VM",
  description:
    "Answers when the VM is released, within 10 s. Stopping an ended job is no error. Of a job that runs in the VM of another only the script ends. The name of a workspace whose VM is only warm releases that. A synced workspace is synced before its VM ends: while that cannot be done the job lives, `stopped` is false, `message` says why, and it is tried again until it succeeds.",
  auth: "account",
  params: JobParams,
  query: StopQuery,
  responses: { 200: Stopped },
  errors: [404],
});
