import { access, ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { afterWork, findSandboxJob } from "../app/find-sandbox-job.ts";
import { publicKeyLine } from "../app/ssh-key-pair.ts";
import { SSH_USER } from "../app/ssh-login.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

export function enableAccessRoute({ store, node, reports, ssh }: RouteDeps): BoundRoute {
  return bind(ROUTES.enableAccess, async ({ params, body, account, clientAddress, signal }) => {
    const found = await findJob(store, account.id, params.id);
    if (body.port !== access.SSH_PORT)
      throw new AppError(
        "not_supported",
        `port: only ${access.SSH_PORT} (SSH) is served so far, and ${body.port} is not: access by HTTP is not built yet`,
      );
    const need = "only persistent jobs are reached by SSH";
    const { job, sandboxId } = await findSandboxJob(store, found, params.id, { need });
    if (!ssh) throw new AppError("not_supported", "this server takes no SSH connections");
    const after = await afterWork(store, job, async () => {
      await node.wakeSandbox(sandboxId, { reason: "requested", signal });
      await reports.settled(sandboxId);
    });
    const { port, privateKey } = await ssh.grant({ job: after, sandboxId }, { clientAddress });
    return {
      success: true as const,
      port: access.SSH_PORT,
      ...{ ssh_host: ssh.host, ssh_port: port, ssh_user: SSH_USER },
      ssh_private_key: privateKey.reveal(),
      ssh_host_key: publicKeyLine(ssh.hostKey),
      ssh_host_fingerprint: ssh.hostKey.fingerprint,
    };
  });
}
