import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function challengeSshKeyRoute({ sshKeys }: RouteDeps): BoundRoute {
  return bind(ROUTES.challengeSshKey, async ({ body, account }) => {
    const { challenge, expiresAt, fingerprint } = await sshKeys.challenge(account.id, body.public_key);
    return { challenge, expires_at: expiresAt.toISOString(), fingerprint };
  });
}
