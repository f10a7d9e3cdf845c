import { isReservedName, JOB_STATUSES, NAME_PATTERN } from "@mags/domain";
import { z } from "zod";
import { Egress } from "./egress.ts";
import { route } from "./route.ts";
import { Script, scriptAddressRule } from "./script.ts";
import { text } from "./text.ts";

const NAME_RULE = "must be 1 to 63 letters, digits, dots, underscores or dashes, and start with a letter or digit";

export const Name = z
  .string()
  .regex(NAME_PATTERN, NAME_RULE)
  .refine((name) => !isReservedName(name), "is reserved: it could be mistaken for an id or a path of the API");

/** Linux takes at most 128 KiB in one argument, its terminating zero included. */
const MAX_COMMAND_BYTES = 128 * 1024 - 1;

const MAX_ENVIRONMENT_BYTES = 64 * 1024;

export const Environment = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "names must be letters, digits and underscores, and not start with a digit"),
    text(),
  )
  .refine(
    (entries) =>
      Object.entries(entries).reduce((sum, [key, value]) => sum + key.length + Buffer.byteLength(value) + 2, 0) <=
      MAX_ENVIRONMENT_BYTES,
    `must be at most ${MAX_ENVIRONMENT_BYTES} bytes in all`,
  );

export const Labels = z
  .record(text().min(1, "keys must not be empty").max(63, "keys must have at most 63 characters"), text().max(255))
  .refine((labels) => Object.keys(labels).length <= 16, "must have at most 16 entries");

const TYPE_RULE = 'must be "inline" (script holds the script itself) or "url" (script holds its http or https address)';

const MAX_FILES = 100;

/** `name`, or `name@version`. */
const BASE_PATTERN = /^([^@]+)(?:@([1-9]\d{0,8}))?$/;

export const BaseWorkspace = z
  .string()
  .regex(BASE_PATTERN, "must be the name of a workspace, or name@version")
  .refine((base) => Name.safeParse(base.split("@")[0]).success, NAME_RULE);

export const StartupCommand = text().refine(
  (command) => Buffer.byteLength(command) <= MAX_COMMAND_BYTES,
  `must be at most ${MAX_COMMAND_BYTES} bytes`,
);

export const IdleMinutes = z.int().min(1).max(525_600);

export const SubmitJob = z
  .object({
    script: Script.describe("Shell script, or with type `url` the http(s) address of one. At most 1 MiB."),
    type: z.enum(["inline", "url"], {
      error: (issue) => (issue.input === undefined ? `is required: it ${TYPE_RULE}` : TYPE_RULE),
    }),
    name: Name.optional().describe("Default: generated."),
    persistent: z
      .boolean()
      .default(false)
      .describe("The VM stays when the script has ended, until the job is stopped."),
    environment: Environment.default({}),
    disk_gb: z
      .int()
      .nonnegative()
      .optional()
      .describe(
        "Size of the root disk. Default and least: 2, or as large as that of the workspace or base that it begins as.",
      ),
    vcpus: z.int().positive().optional(),
    memory_mb: z.int().positive().optional(),
    timeout: z
      .number()
      .positive()
      .max(31_536_000)
      .optional()
      .describe("Seconds the script may run; exit code 124 then. Default: no limit."),
    rootfs_type: z.string().optional().describe("Name of a guest image. Default: standard."),
    egress: Egress.nullish().describe("Network access of the guest. Default: filtered."),
    labels: Labels.default({}),
    no_sync: z
      .boolean()
      .default(false)
      .describe("The workspace of a persistent job stays on the disk of its VM; else it is synced."),
    no_sleep: z.boolean().default(false).describe("The VM does not sleep when it is idle. Needs `persistent`."),
    workspace_id: Name.nullish().describe(
      "Jobs of one workspace share a VM and its files, one script at a time. With `persistent` it is synced; one that was synced is opened as its latest version.",
    ),
    base_workspace_id: BaseWorkspace.nullish().describe(
      "A synced workspace whose files the job begins with: its name, or name@version. It is never changed.",
    ),
    file_ids: z
      .array(z.string())
      .max(MAX_FILES)
      .nullish()
      .describe("Uploads, put into /uploads and /root of the VM; the script starts in /uploads then."),
    startup_command: StartupCommand.nullish().describe("Run when the VM of a persistent job wakes without its memory."),
    idle_minutes: IdleMinutes.nullish().describe("The VM of a persistent job sleeps when it was idle for so long."),
    replace: z
      .boolean()
      .nullish()
      .describe("Ends scripts that run in the workspace and stand in the way; else the reply is 409."),
  })
  .superRefine(scriptAddressRule)
  .meta({ id: "SubmitJob" });
export type SubmitJobWire = z.infer<typeof SubmitJob>;

export const SubmitReply = z
  .object({ request_id: z.uuid(), status: z.literal("accepted"), message: z.string() })
  .meta({ id: "SubmitReply" });

export const RunningSync = z
  .object({
    read_bytes: z.int().describe("Read of the disk so far."),
    total_bytes: z.int().describe("To be read in all; 0 while that is not known."),
    sent_bytes: z.int().describe("Taken by the object store so far."),
  })
  .meta({ id: "RunningSync", description: "How far a sync is." });

export const SyncProgress = z
  .object({
    version: z.int().nullable().describe("The latest version; null: it was not synced yet."),
    last_synced_at: z.iso.datetime().nullable().describe("When the disk was last known to be all synced."),
    behind_bytes: z.int().describe("Bytes that changed since, as far as is known."),
    failure: z
      .string()
      .nullable()
      .describe("Why the last sync failed, or what changed may be unsynced; null when all went well."),
    running: RunningSync.nullable().describe("The sync that is under way; null when none is."),
  })
  .meta({ id: "SyncProgress" });

export const Status = z
  .object({
    request_id: z.uuid(),
    name: z.string(),
    status: z.enum(JOB_STATUSES),
    workspace_id: z.string().optional(),
    vm_id: z.string().optional().describe("While a VM is attached."),
    subdomain: z.string().optional().describe("Of persistent jobs: 12 hex digits."),
    url: z.string().optional().describe("Once access to a port was asked for, while the VM stays."),
    url_port: z.int().optional().describe("Where that leads to, in the VM."),
    url_private: z.boolean().optional().describe("Of persistent jobs: whether only links open the URL."),
    exit_code: z.int().optional().describe("Once the script ended."),
    error_message: z.string().optional().describe("With status `error`."),
    script_duration_ms: z.int().optional().describe("Once the script ended."),
    created_at: z.iso.datetime(),
    started_at: z.iso.datetime().optional(),
    completed_at: z.iso.datetime().optional(),
    persistent: z.boolean(),
    no_sleep: z.boolean(),
    no_sync: z.boolean(),
    startup_command: z.string().optional(),
    idle_minutes: z.int().optional().describe("Of persistent jobs."),
    last_transition: z
      .object({ name: z.string(), reason: z.string().optional(), at: z.iso.datetime() })
      .optional()
      .describe("When and why the VM last went to sleep (`slept`), woke (`woke`) or was lost (`vm_lost`)."),
    sync: SyncProgress.optional().describe("While the VM of a synced workspace stays."),
    waits_for: z
      .string()
      .optional()
      .describe(
        "While the VM that stays stands still in the middle of a write: why, such as that the host's disk is full.",
      ),
    disk_gb: z.int(),
    vcpus: z.int(),
    memory_mb: z.int(),
    rootfs_type: z.string(),
    egress: Egress,
    labels: z.record(z.string(), z.string()),
  })
  .meta({ id: "JobStatus" });
export type StatusWire = z.infer<typeof Status>;

export const Job = Status.extend({ id: z.uuid().describe("Same as request_id.") }).meta({ id: "Job" });
export type JobWire = z.infer<typeof Job>;

export const JobParams = z.object({ id: z.string().min(1).describe("request_id, job name or workspace name.") });

export const JobPage = z
  .object({ jobs: z.array(Job), total: z.int(), page: z.int(), page_size: z.int() })
  .meta({ id: "JobPage" });

export const JobQuery = z.object({
  page: z.coerce.number().int().min(1).default(1),
  page_size: z.coerce.number().int().min(1).max(100).default(20),
  status: z.enum(JOB_STATUSES).optional(),
  name: text().optional(),
  workspace_id: z.string().optional(),
  label: text()
    .regex(/^[^=]+=.*$/s, "must be key=value")
    .optional()
    .describe("Jobs that carry this label: key=value."),
});

export const ExecCommand = text()
  .min(1, "is empty: give a command")
  .refine(
    (command) => Buffer.byteLength(command) <= MAX_COMMAND_BYTES,
    `must be at most ${MAX_COMMAND_BYTES} bytes: submit longer scripts as jobs`,
  )
  .describe("Run by /bin/sh -c, bytes untouched.");

export const ExecBody = z
  .object({
    command: ExecCommand,
    timeout: z.number().positive().max(3600).default(30).describe("Seconds."),
    encoding: z.enum(["utf8", "base64"]).default("utf8").describe("Of stdout and stderr in the reply."),
  })
  .meta({ id: "Exec" });

export const ExecReply = z
  .object({
    exit_code: z.int(),
    stdout: z.string(),
    stderr: z.string(),
    timed_out: z.boolean().optional(),
    truncated: z.boolean().optional().describe("A stream exceeded 8 MiB; the rest was dropped."),
  })
  .meta({ id: "ExecReply" });

export const Done = z.object({ success: z.literal(true), message: z.string() }).meta({ id: "Done" });

export const JobEvent = z
  .object({
    id: z.int().describe("Rises within a job."),
    at: z.iso.datetime(),
    name: z.string(),
    message: z.string(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "JobEvent" });
export type JobEventWire = z.infer<typeof JobEvent>;

export const submitJob = route({
  method: "POST",
  path: "/mags-jobs",
  summary: "Submit a job",
  auth: "account",
  body: SubmitJob,
  responses: { 202: SubmitReply },
  errors: [409, 413, 429],
});

export const listJobs = route({
  method: "GET",
  path: "/mags-jobs",
  summary: "List jobs, newest first",
  auth: "account",
  query: JobQuery,
  responses: { 200: JobPage },
  errors: [],
});

export const getJob = route({
  method: "GET",
  path: "/mags-jobs/{id}",
  summary: "The full record of a job",
  auth: "account",
  params: JobParams,
  responses: { 200: Job },
  errors: [404],
});

export const getStatus = route({
  method: "GET",
  path: "/mags-jobs/{id}/status",
  summary: "The status of a job",
  auth: "account",
  params: JobParams,
  responses: { 200: Status },
  errors: [404],
});

export const execInJob = route({
  method: "POST",
  path: "/mags-jobs/{id}/exec",
  summary: "Run one command in the VM of a job, which is woken if it sleeps",
  auth: "account",
  params: JobParams,
  body: ExecBody,
  responses: { 200: ExecReply },
  errors: [404, 409, 413, 507],
});

export const listEvents = route({
  method: "GET",
  path: "/mags-jobs/{id}/events",
  summary: "What happened to a job, with times and reasons, oldest first",
  auth: "account",
  params: JobParams,
  responses: { 200: z.object({ events: z.array(JobEvent) }).meta({ id: "JobEvents" }) },
  errors: [404],
});
