import { ROUTES } from "@mags/api-schema";
import { serverNameFor } from "../app/server-name.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function challengeSshKeyRoute({ sshKeys, publicUrl }: RouteDeps): BoundRoute {
  return bind(ROUTES.challengeSshKey, async ({ body, account, arrival }) => {
    const server = serverNameFor(body.server, { publicUrl, arrival });
    const { challenge, expiresAt, fingerprint } = await sshKeys.challenge(account.id, body.public_key, { server });
    return { challenge, expires_at: expiresAt.toISOString(), fingerprint };
  });
}
