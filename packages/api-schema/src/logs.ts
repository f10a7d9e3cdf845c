import { z } from "zod";
import { flag } from "./flag.ts";
import { JobParams } from "./jobs.ts";
import { route } from "./route.ts";

export const LogEntry = z
  .object({
    timestamp: z.iso.datetime(),
    level: z
      .enum(["info", "error", "debug"])
      .describe("stdout: info; stderr: error; platform: debug, or error when it is about lost output."),
    message: z.string().describe("One line without its newline; with `encoding=base64` a piece of output, exactly."),
    source: z.enum(["stdout", "stderr", "system"]),
  })
  .meta({ id: "LogEntry" });
export type LogEntryWire = z.infer<typeof LogEntry>;

export const LogQuery = z.object({
  offset: z.coerce.number().int().nonnegative().default(0).describe("Entries to leave out at the beginning."),
  system: flag.describe("Include platform events."),
  encoding: z.enum(["utf8", "base64"]).default("utf8"),
  follow: flag.describe("Answer with an event stream that ends with the job."),
  last_event_id: z
    .string()
    .optional()
    .describe("With `follow`: as the header `Last-Event-ID`, for clients that cannot set it."),
});

export const getLogs = route({
  method: "GET",
  path: "/mags-jobs/{id}/logs",
  summary: "The output of a job",
  description: [
    "Without `follow`: what there is, oldest first; the array only grows while the job lives.",
    "With `follow=1`: server-sent events. `event: log` carries an entry and an `id`; a client that comes back with",
    "`Last-Event-ID` and the same query goes on after it, and nothing is lost or sent twice. `event: end` carries the",
    "status object and closes the stream. A job that waits for its VM is waited for.",
    "The id of an entry is its number from 1 on; with `system=1` a dash and the number of the last platform event follow.",
    "`encoding=base64`: entries are pieces of output exactly as the script wrote them, not cut into lines, sent as soon",
    "as they are there; their ids are not those of the other form.",
  ].join(" "),
  auth: "account",
  params: JobParams,
  query: LogQuery,
  responses: { 200: z.object({ logs: z.array(LogEntry) }).meta({ id: "Logs" }) },
  eventStream: true,
  errors: [404],
});
