import { ROUTES } from "@mags/api-schema";
import { diffWorkspace } from "../app/diff-workspace.ts";
import { findWorkspace } from "../app/workspaces.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { changeToWire, placeFromWire, placeToWire } from "./workspace-wire.ts";

export function diffWorkspaceVersionsRoute(deps: RouteDeps): BoundRoute {
  return bind(ROUTES.diffWorkspaceVersions, async ({ params, query, account, signal }) => {
    const workspace = await findWorkspace(deps, account.id, params.id);
    const from = query.after === undefined ? null : placeFromWire(query.after);
    const request = { before: params.version, after: query.with, limit: query.limit, from, signal };
    const { after, changes, more } = await diffWorkspace(deps, workspace, request);
    const last = changes.at(-1);
    return {
      workspace_id: workspace.name,
      ...{ version: params.version, with: after },
      changes: changes.map(changeToWire),
      next: more && last ? placeToWire(last.path) : null,
    };
  });
}
