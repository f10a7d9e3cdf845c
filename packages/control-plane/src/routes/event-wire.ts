import type { jobs } from "@mags/api-schema";
import { eventText } from "../app/event-text.ts";
import type { JobEvent } from "../app/job.ts";

/** Names of event data that are not simply the snake_case form of ours. */
const NAMES: Readonly<Record<string, string>> = {
  microVmId: "vm_id",
  memoryMiB: "memory_mb",
  diskGiB: "disk_gb",
  image: "rootfs_type",
};

export function eventToWire(event: JobEvent): jobs.JobEventWire {
  return {
    id: event.id,
    at: event.at.toISOString(),
    name: event.name,
    message: eventText(event),
    data: Object.fromEntries(Object.entries(event.data).map(([name, value]) => [nameToWire(name), value])),
  };
}

function nameToWire(name: string): string {
  return NAMES[name] ?? name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
