import { ROUTES } from "@mags/api-schema";
import type { FromGuest, GuestEntry } from "@mags/domain";
import { inGuest } from "../app/in-guest.ts";
import { requiredBytesOfQuery } from "../http/bytes-query.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import { inPieces, Streamed } from "../http/streamed.ts";
import type { RouteDeps } from "./deps.ts";
import { entryToWire, infoToWire } from "./file-wire.ts";
import { findJob } from "./find-job.ts";

export function statFileRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.statFile, async ({ params, query, rawQuery, account, signal }) => {
    const path = requiredBytesOfQuery(rawQuery, "path");
    const job = await findJob(store, account.id, params.id);
    const file = { path, follow: query.follow };
    return infoToWire(await inGuest(job, (guest) => node.files.stat(guest, file, { signal })));
  });
}

export function listFilesRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.listFiles, async ({ params, rawQuery, account, signal }) => {
    const path = requiredBytesOfQuery(rawQuery, "path");
    const job = await findJob(store, account.id, params.id);
    const entries = await inGuest(job, (guest) => node.files.list(guest, { path }, { signal }));
    return new Streamed("application/json; charset=utf-8", asJson(entries));
  });
}

/** One JSON object, made piece by piece: a folder may have more entries than memory should hold. */
async function* asJson(batches: FromGuest<readonly GuestEntry[]>): AsyncGenerator<string> {
  let separator = "";
  yield '{"entries":[';
  for await (const batch of batches) {
    const texts = batch.map((entry) => {
      const text = separator + JSON.stringify(entryToWire(entry));
      separator = ",";
      return text;
    });
    yield* inPieces(texts);
  }
  yield "]}";
}
