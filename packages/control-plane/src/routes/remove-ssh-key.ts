import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function removeSshKeyRoute({ sshKeys }: RouteDeps): BoundRoute {
  return bind(ROUTES.removeSshKey, async ({ params, account, clientAddress }) => {
    const { name } = await sshKeys.remove(account.id, params.id, { clientAddress });
    return { success: true as const, message: `SSH key ${name} removed` };
  });
}
