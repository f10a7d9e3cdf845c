import { ROUTES } from "@mags/api-schema";
import { findWorkspace, restoreWorkspace } from "../app/workspaces.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function restoreWorkspaceRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.restoreWorkspace, async ({ params, body, account }) => {
    const workspace = await findWorkspace(deps, account.id, params.id);
    const { seq: version } = await restoreWorkspace(deps, workspace, body.version);
    const message = `Workspace ${workspace.name} is as in version ${body.version} again, as version ${version}`;
    return { success: true as const, message, version };
  });
}
