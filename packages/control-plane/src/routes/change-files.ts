/** Removing and renaming files, and making folders. */
import { ROUTES } from "@mags/api-schema";
import { inGuest } from "../app/in-guest.ts";
import { requiredBytesOfQuery } from "../http/bytes-query.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

const done = (message: string) => ({ success: true as const, message });

export function removeFileRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.removeFile, async ({ params, query, rawQuery, account, signal }) => {
    const path = requiredBytesOfQuery(rawQuery, "path");
    const job = await findJob(store, account.id, params.id);
    await inGuest(job, (guest) => node.files.remove(guest, { path, recursive: query.recursive }, { signal }));
    return done("Removed");
  });
}

export function renameFileRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.renameFile, async ({ params, query, rawQuery, account, signal }) => {
    const file = {
      path: requiredBytesOfQuery(rawQuery, "path"),
      to: requiredBytesOfQuery(rawQuery, "to"),
      replace: query.replace,
    };
    const job = await findJob(store, account.id, params.id);
    await inGuest(job, (guest) => node.files.rename(guest, file, { signal }));
    return done("Renamed");
  });
}

export function makeFolderRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.makeFolder, async ({ params, query, rawQuery, account, signal }) => {
    const folder = {
      path: requiredBytesOfQuery(rawQuery, "path"),
      parents: query.parents,
      mode: query.mode === undefined ? null : Number.parseInt(query.mode, 8),
    };
    const job = await findJob(store, account.id, params.id);
    await inGuest(job, (guest) => node.files.makeDirectory(guest, folder, { signal }));
    return done("Made");
  });
}
