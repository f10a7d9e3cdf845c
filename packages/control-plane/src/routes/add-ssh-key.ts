import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { sshKeyToWire } from "./ssh-key-wire.ts";

export function addSshKeyRoute({ sshKeys }: RouteDeps): BoundRoute {
  return bind(ROUTES.addSshKey, async ({ body, account, clientAddress }) => {
    const { name, public_key, challenge, signature } = body;
    const key = { name, publicKey: public_key, challenge, signature };
    return sshKeyToWire(await sshKeys.add(account.id, key, { clientAddress }));
  });
}
