import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { tokenToWire } from "./token-wire.ts";

export function createTokenRoute({ accounts }: RouteDeps): BoundRoute {
  return bind(ROUTES.createToken, async ({ body, account, clientAddress }) => {
    const { record, token } = await accounts.issueToken(account.id, body.name, { clientAddress });
    return { ...tokenToWire(record), token: token.reveal() };
  });
}
