import { ROUTES } from "@mags/api-schema";
import { inGuest } from "../app/in-guest.ts";
import { requiredBytesOfQuery } from "../http/bytes-query.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import { Streamed } from "../http/streamed.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

export function getArchiveRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.getArchive, async ({ params, rawQuery, account, signal }) => {
    const path = requiredBytesOfQuery(rawQuery, "path");
    const job = await findJob(store, account.id, params.id);
    const archive = await inGuest(job, (guest) => node.files.pack(guest, { path }, { signal }));
    return new Streamed("application/x-tar", archive);
  });
}

export function putArchiveRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.putArchive, async ({ params, rawQuery, upload, account, signal }) => {
    const path = requiredBytesOfQuery(rawQuery, "path");
    const job = await findJob(store, account.id, params.id);
    await inGuest(job, (guest) => node.files.unpack(guest, { path }, upload.bytes, { signal }));
    return { success: true as const, message: "Unpacked" };
  });
}
