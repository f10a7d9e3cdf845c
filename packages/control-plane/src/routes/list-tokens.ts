import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { tokenToWire } from "./token-wire.ts";

export function listTokensRoute({ accounts }: RouteDeps): BoundRoute {
  return bind(ROUTES.listTokens, async ({ account }) => ({
    tokens: (await accounts.tokens(account.id)).map(tokenToWire),
  }));
}
