import { ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

export function syncJobRoute({ store }: RouteDeps): BoundRoute {
  return bind(ROUTES.syncJob, async ({ params, account }) => {
    const { name, workspaceId } = await findJob(store, account.id, params.id);
    throw new AppError(
      "validation_failed",
      workspaceId === null
        ? `job ${name} has no workspace to sync`
        : `workspace ${workspaceId} is local: its files lie on the disk of its VM only and are not synced`,
    );
  });
}
