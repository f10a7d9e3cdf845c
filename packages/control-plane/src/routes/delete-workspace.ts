import { ROUTES } from "@mags/api-schema";
import { deleteWorkspace, findWorkspace } from "../app/workspaces.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function deleteWorkspaceRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.deleteWorkspace, async ({ params, query, account }) => {
    const workspace = await findWorkspace(deps, account.id, params.id);
    await deleteWorkspace(deps, workspace, { force: query.force });
    return { success: true as const, message: `Workspace ${workspace.name} deleted` };
  });
}
