import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";

export function meRoute(): BoundRoute {
  return bind(ROUTES.me, async ({ account: { id, email, name, role } }) => ({ id, email, name, role }));
}
