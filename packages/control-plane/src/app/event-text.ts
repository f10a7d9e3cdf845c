import type { JobEvent } from "./job.ts";

type Data = JobEvent["data"];

const TEXTS: Readonly<Record<string, (data: Data) => string>> = {
  submitted: (data) =>
    `job accepted: image ${data.image}, ${data.vcpus} vCPU, ${data.memoryMiB} MiB memory, ${data.diskGiB} GiB disk`,
  script_converted: () => "line endings of the script were converted from CR LF to LF",
  started: (data) => `script started in ${data.microVmId}`,
  egress_denied: (data) =>
    `network access denied: ${data.destination}${data.count === 1 ? "" : `, ${data.count} times so far`}`,
  stop_requested: () => "stop requested",
  stopped: (data) => (data.exitCode === null ? "stopped" : `stopped; exit code of the script ${data.exitCode}`),
  completed: (data) => `script ended with exit code ${data.exitCode} after ${data.scriptDurationMs} ms`,
  timed_out: (data) => `script was ended because its timeout passed (${data.scriptDurationMs} ms)`,
};

/** One line for people. Events of the node bring their text along as `message`, or are named well enough. */
export function eventText(event: JobEvent): string {
  const text = TEXTS[event.name]?.(event.data);
  if (text !== undefined) return text;
  return typeof event.data.message === "string" ? event.data.message : event.name.replaceAll("_", " ");
}
