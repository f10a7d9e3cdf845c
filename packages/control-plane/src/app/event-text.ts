import type { SleepReason, SyncReason, WakeReason } from "@mags/domain";
import type { JobEvent } from "./job.ts";

type Data = JobEvent["data"];

const MIB = 1024 ** 2;

const TEXTS: Readonly<Record<string, (data: Data) => string>> = {
  submitted: (data) =>
    `job accepted: image ${data.image}, ${data.vcpus} vCPU, ${data.memoryMiB} MiB memory, ${data.diskGiB} GiB disk`,
  script_converted: () => "line endings of the script were converted from CR LF to LF",
  started: (data) => `script started in ${data.microVmId}`,
  lost_at_start: (data) => `${data.microVmId} was lost before the script had begun: ${data.reason}`,
  egress_denied: (data) =>
    `network access denied: ${data.destination}${data.count === 1 ? "" : `, ${data.count} times so far`}`,
  stop_requested: () => "stop requested",
  stopped: (data) => (data.exitCode === null ? "stopped" : `stopped; exit code of the script ${data.exitCode}`),
  completed: (data) => `script ended with exit code ${data.exitCode} after ${data.scriptDurationMs} ms`,
  script_ended: (data) =>
    data.scriptDurationMs === null
      ? `script was ended with exit code ${data.exitCode}; its VM stays`
      : `script ended with exit code ${data.exitCode} after ${data.scriptDurationMs} ms; its VM stays`,
  script_lost: (data) => `script was lost: ${data.message}`,
  script_stop_requested: () => "end of the script requested; its VM stays",
  taken_over: (data) => `job ${data.by} took over the workspace with its VM`,
  replaced: (data) => `script is ended: job ${data.by} takes its place`,
  slept: (data) => `VM went to sleep: ${textOf(SLEEP_REASONS, data)}`,
  woke: (data) => `VM woke${WAKE_KINDS[String(data.kind)] ?? ""}: ${textOf(WAKE_REASONS, data)}`,
  vm_lost: (data) => `VM was lost: ${data.reason ?? data.message}; its disk is kept, and the next use starts it again`,
  sleep_failed: (data) => `VM could not go to sleep: ${data.reason}`,
  wake_failed: (data) => `VM could not be woken, its disk is kept: ${data.reason}`,
  resize_failed: (data) => `disk could not be made larger: ${data.reason}`,
  startup_failed: (data) => `startup command failed: ${data.reason}`,
  released: (data) => `VM and disk were removed: ${textOf(RELEASE_REASONS, data)}`,
  resized: (data) => `disk has ${data.diskGiB} GiB now`,
  image_fetch: (data) =>
    `image ${data.image} of the workspace's files is fetched from the object store, as this node does not have it: this start takes longer`,
  opened: (data) => `files begin as version ${data.version} of workspace ${data.workspace}`,
  local_copy: (data) =>
    `workspace ${data.workspace} is open as a copy: what changes in it stays on its VM and is dropped with it; to keep it, end it and run with persistent (-p)`,
  local_copy_dropped: (data) =>
    `a warm copy of workspace ${data.workspace} that was not synced was dropped; the workspace is opened as it was synced last`,
  workspace_damaged: (data) =>
    `part of workspace ${data.workspace} (version ${data.version}) is damaged or lost in the object store, and reading it fails: ${data.reason}. ${soundText(data)}`,
  hydrated: (data) =>
    `all files are on the VM's own disk now (${Math.round(Number(data.dataBytes) / MIB)} MiB in ${Math.round(Number(data.durationMs) / 1000)} s): it reads no more from the object store`,
  synced: (data) => `workspace synced as version ${data.version}: ${textOf(SYNC_REASONS, data)}`,
  sync_failed: (data) => `workspace could not be synced, and what changed stays in its VM: ${data.reason}`,
  sync_compared: (data) => `all of the disk was compared with what is synced: ${data.reason}`,
  sync_lost: (data) =>
    `workspace is not synced any more, as another writes it now or has published a newer version: ${data.reason ?? data.message}`,
  stop_waits: (data) => `stop waits until the last changes are synced, which could not be done: ${data.reason}`,
  changes_discarded: (data) => `changes that could not be synced were dropped, as requested: ${data.reason}`,
  timed_out: (data) => `script was ended because its timeout passed (${data.scriptDurationMs} ms)`,
};

/** A reason is one of those listed, or for people as it is. */
const textOf = (texts: Readonly<Record<string, string>>, { reason }: Data) => texts[String(reason)] ?? reason;

function soundText({ workspace, soundVersions, isDeleted }: Data): string {
  const [newest, ...others] = Array.isArray(soundVersions) ? soundVersions : [];
  if (newest === undefined) return "No version without this damage is kept";
  const versions = `versions without this damage: ${[newest, ...others].join(", ")}`;
  if (isDeleted) return versions;
  return `${versions}; after a stop, \`mags workspace restore ${workspace} --version ${newest}\` goes back to the newest`;
}

/** The reasons of the domain, and that of the reconciler. */
type Reasons<R extends string> = Readonly<Record<R | "found", string>>;

const SLEEP_REASONS: Reasons<SleepReason> = {
  idle: "nothing was done in it for a while",
  requested: "as requested",
  sync: "what it fell asleep with is synced",
  found: "while the server was away",
};

const SYNC_REASONS: Readonly<Record<SyncReason, string>> = {
  ...{ interval: "it changed", restore: "an older version was made the newest" },
  ...{ stop: "its VM ends", sleep: "its VM goes to sleep", request: "as requested" },
  ...{ promotion: "it was local so far", fork: "it was forked", compaction: "what it takes was made less" },
};

const WAKE_KINDS: Readonly<Record<string, string>> = {
  ...{ warm: " with its memory", cold: " from its disk, without its memory" },
};

const WAKE_REASONS: Reasons<WakeReason> = {
  ...{ exec: "a command was to run", files: "files were asked for", connection: "somebody connected to it" },
  ...{ script: "a script was to run", requested: "as requested", no_sleep: "it is never to sleep" },
  ...{ found: "while the server was away", sync: "what it fell asleep with is to be synced" },
};

const RELEASE_REASONS: Readonly<Record<string, string>> = {
  idle: "nobody used the workspace for a while",
  stopped: "as requested",
};

/** One line for people. Events of the node bring their text along as `message`, or are named well enough. */
export function eventText(event: JobEvent): string {
  const text = TEXTS[event.name]?.(event.data);
  if (text !== undefined) return text;
  return typeof event.data.message === "string" ? event.data.message : event.name.replaceAll("_", " ");
}
