import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";

export function sshServiceRoute(): BoundRoute {
  return bind(ROUTES.sshService, async () => ({
    enabled: false,
    host: null,
    port: null,
    host_key: null,
    fingerprint: null,
  }));
}
