import { type logs, ROUTES } from "@mags/api-schema";
import type { z } from "zod";
import type { Job } from "../app/job.ts";
import { type LogItem, type LogPosition, type LogRequest, readJobLog } from "../app/job-log.ts";
import { EVENT_STREAM, eventText, withHeartbeat } from "../http/event-stream.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import { inPieces, Streamed } from "../http/streamed.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { statusToWire } from "./job-wire.ts";
import { itemToWire, positionFromId, positionToId } from "./log-wire.ts";

type Query = z.infer<typeof logs.LogQuery>;

const BEGINNING: LogPosition = { output: 0, event: 0 };

export function getLogsRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.getLogs, async ({ params, query, headers, account, signal }) => {
    const resumeId = headers["last-event-id"] ?? query.last_event_id;
    const resumeAt = query.follow && typeof resumeId === "string" && resumeId !== "" ? positionFromId(resumeId) : null;
    const job = await findJob(deps.store, account.id, params.id);
    const request: LogRequest = {
      form: query.encoding === "base64" ? "pieces" : "lines",
      platformEvents: query.system,
      after: resumeAt ?? BEGINNING,
      follow: query.follow,
    };
    const batches = readJobLog(deps, job, request, { signal });
    // Whoever resumes has left out the entries before `offset` already.
    const skip = resumeAt ? 0 : query.offset;
    if (!query.follow) return new Streamed("application/json; charset=utf-8", snapshot(batches, query, skip));
    const events = follow(batches, deps, { query, skip, onOutput: () => deps.timings.firstOutput(job.id) });
    return new Streamed(`${EVENT_STREAM}; charset=utf-8`, withHeartbeat(events, deps.heartbeatMs));
  });
}

/** The whole log as one JSON object, made piece by piece: it may be larger than what memory should hold. */
async function* snapshot(
  batches: AsyncGenerator<readonly LogItem[], Job | null>,
  query: Query,
  skip: number,
): AsyncGenerator<string> {
  const rest = createSkipper(skip);
  let separator = "";
  yield '{"logs":[';
  for await (const batch of batches) {
    const texts = rest(batch).map((item) => {
      const text = separator + JSON.stringify(itemToWire(item, query.encoding));
      separator = ",";
      return text;
    });
    yield* inPieces(texts);
  }
  yield "]}";
}

async function* follow(
  batches: AsyncGenerator<readonly LogItem[], Job | null>,
  deps: Pick<RouteDeps, "node" | "urls">,
  options: { readonly query: Query; readonly skip: number; readonly onOutput: () => void },
): AsyncGenerator<string> {
  const { query } = options;
  const rest = createSkipper(options.skip);
  try {
    for (;;) {
      const { value, done } = await batches.next();
      if (done) {
        if (value) yield eventText({ event: "end", data: statusToWire(value, deps) });
        return;
      }
      if (value.some((item) => item.kind === "output")) options.onOutput();
      yield* inPieces(eventTexts(rest(value), query));
    }
  } finally {
    await batches.return(null);
  }
}

function* eventTexts(items: readonly LogItem[], query: Query): Generator<string> {
  for (const item of items)
    yield eventText({
      event: "log",
      id: positionToId(item.position, query.system),
      data: itemToWire(item, query.encoding),
    });
}

/** Leaves out the first `count` items of all batches together. */
function createSkipper(count: number): (batch: readonly LogItem[]) => readonly LogItem[] {
  let left = count;
  return (batch) => {
    const rest = left === 0 ? batch : batch.slice(left);
    left -= batch.length - rest.length;
    return rest;
  };
}
