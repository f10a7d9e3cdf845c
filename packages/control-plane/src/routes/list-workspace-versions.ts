import { ROUTES } from "@mags/api-schema";
import { listVersions } from "../app/find-base.ts";
import { findWorkspace } from "../app/workspaces.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { versionToWire } from "./workspace-wire.ts";

export function listWorkspaceVersionsRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.listWorkspaceVersions, async ({ params, account }) => {
    const workspace = await findWorkspace(deps, account.id, params.id);
    const versions = await listVersions(deps, workspace);
    return {
      workspace_id: workspace.name,
      versions: versions.toReversed().map(versionToWire),
      total: versions.length,
    };
  });
}
