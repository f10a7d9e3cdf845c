import { ROUTES } from "@mags/api-schema";
import { inGuest } from "../app/in-guest.ts";
import { requiredBytesOfQuery } from "../http/bytes-query.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

export function putFileRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.putFile, async ({ params, query, rawQuery, upload, account, signal }) => {
    const job = await findJob(store, account.id, params.id);
    const file = {
      path: requiredBytesOfQuery(rawQuery, "path"),
      mode: query.mode === undefined ? null : Number.parseInt(query.mode, 8),
      mtimeMs: query.mtime === undefined ? null : query.mtime * 1000,
      parents: query.parents,
      exclusive: query.exclusive,
    };
    const size = await inGuest(job, (guest) => node.files.write(guest, file, upload.bytes, { signal }));
    return { size };
  });
}
