import type { logs } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { eventText } from "../app/event-text.ts";
import type { LogItem, LogPosition } from "../app/job-log.ts";

const LEVELS = { stdout: "info", stderr: "error", system: "error" } as const;

export function itemToWire(item: LogItem, encoding: "utf8" | "base64"): logs.LogEntryWire {
  const timestamp = new Date(item.atMs).toISOString();
  if (item.kind === "event")
    return { timestamp, level: "debug", message: encoded(eventText(item.event), encoding), source: "system" };
  return { timestamp, level: LEVELS[item.source], message: item.bytes.toString(encoding), source: item.source };
}

function encoded(text: string, encoding: "utf8" | "base64"): string {
  return encoding === "utf8" ? text : Buffer.from(text).toString("base64");
}

/** The id of an event of the stream; the part for platform events only where they are sent. */
export function positionToId(position: LogPosition, withEvents: boolean): string {
  return withEvents ? `${position.output}-${position.event}` : String(position.output);
}

/** @throws AppError `validation_failed` for what is no id of ours. */
export function positionFromId(id: string): LogPosition {
  const [, output, event] = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(id) ?? [];
  if (output === undefined)
    throw new AppError(
      "validation_failed",
      `Last-Event-ID: ${JSON.stringify(id)} is no id of this stream: leave it out`,
    );
  return { output: Number(output), event: Number(event ?? 0) };
}
