import { ROUTES } from "@mags/api-schema";
import { publicKeyLine } from "../app/ssh-key-pair.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function sshServiceRoute({ ssh }: RouteDeps): BoundRoute {
  return bind(ROUTES.sshService, async () => {
    if (!ssh) return { enabled: false, host: null, port: null, host_key: null, fingerprint: null };
    const { host, port, hostKey } = ssh;
    return { enabled: true, host, port: port(), host_key: publicKeyLine(hostKey), fingerprint: hostKey.fingerprint };
  });
}
