import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { workspaceToWire } from "./workspace-wire.ts";

export function listWorkspacesRoute({ workspaces, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.listWorkspaces, async ({ account }) => {
    const found = await workspaces.list(account.id);
    const seen = new Map(node.observeSandboxes().map(({ sandboxId, sync }) => [sandboxId, sync]));
    return {
      workspaces: found.map((one) => workspaceToWire(one, (one.sandboxId && seen.get(one.sandboxId)) ?? null)),
      total: found.length,
    };
  });
}
