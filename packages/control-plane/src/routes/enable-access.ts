import { access, ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { findSandboxJob } from "../app/find-sandbox-job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

export function enableAccessRoute({ store }: RouteDeps): BoundRoute {
  return bind(ROUTES.enableAccess, async ({ params, body, account }) => {
    const found = await findJob(store, account.id, params.id);
    if (body.port !== access.SSH_PORT)
      throw new AppError(
        "not_supported",
        `port: only ${access.SSH_PORT} (SSH) is served so far, and ${body.port} is not: access by HTTP is not built yet`,
      );
    await findSandboxJob(store, found, params.id, { need: "only persistent jobs are reached by SSH" });
    throw new AppError("not_supported", "this server takes no SSH connections");
  });
}
