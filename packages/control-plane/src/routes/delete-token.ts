import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function deleteTokenRoute({ accounts }: RouteDeps): BoundRoute {
  return bind(ROUTES.deleteToken, async ({ params, account, clientAddress }) => {
    await accounts.revokeToken(account.id, params.id, { clientAddress });
    return { success: true as const, message: "access token revoked" };
  });
}
