import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { sshKeyToWire } from "./ssh-key-wire.ts";

export function listSshKeysRoute({ sshKeys }: RouteDeps): BoundRoute {
  return bind(ROUTES.listSshKeys, async ({ account }) => ({
    keys: (await sshKeys.list(account.id)).map(sshKeyToWire),
  }));
}
