import { access, ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import { afterWork, findSandboxJob } from "../app/find-sandbox-job.ts";
import { publicKeyLine } from "../app/ssh-key-pair.ts";
import { SSH_USER } from "../app/ssh-login.ts";
import type { SshService } from "../app/ssh-service.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";
import { needUrls } from "./need-urls.ts";

export function enableAccessRoute({ store, node, reports, ssh, urls }: RouteDeps): BoundRoute {
  return bind(ROUTES.enableAccess, async ({ params, body, account, clientAddress, signal }) => {
    const { port, private: isPrivate = null } = body;
    const isSsh = port === access.SSH_PORT;
    const need = isSsh ? "only persistent jobs are reached by SSH" : "only persistent jobs have URLs";
    const found = await findJob(store, account.id, params.id);
    const { job, sandboxId } = await findSandboxJob(store, found, params.id, { need });
    const grant = isSsh ? sshGrant(ssh, isPrivate) : urlGrant(needUrls(urls), { port, isPrivate });
    const after = await afterWork(store, job, async () => {
      await node.wakeSandbox(sandboxId, { reason: "requested", signal });
      await reports.settled(sandboxId);
    });
    return grant({ job: after, sandboxId }, { clientAddress });
  });
}

type Owner = Parameters<SshService["grant"]>[0];
type Client = Parameters<SshService["grant"]>[1];

function sshGrant(ssh: RouteDeps["ssh"], isPrivate: boolean | null) {
  if (!ssh) throw new AppError("not_supported", "this server takes no SSH connections");
  if (isPrivate !== null)
    throw new AppError("validation_failed", "private: is of URLs; SSH needs a key, and is never public");
  return async (owner: Owner, client: Client) => {
    const { port, privateKey } = await ssh.grant(owner, client);
    return {
      success: true as const,
      port: access.SSH_PORT,
      ...{ ssh_host: ssh.host, ssh_port: port, ssh_user: SSH_USER },
      ssh_private_key: privateKey.reveal(),
      ssh_host_key: publicKeyLine(ssh.hostKey),
      ssh_host_fingerprint: ssh.hostKey.fingerprint,
    };
  };
}

function urlGrant(
  urls: ReturnType<typeof needUrls>,
  asked: { readonly port: number; readonly isPrivate: boolean | null },
) {
  return async (owner: Owner, client: Client) => {
    const { isPrivate } = await urls.setAccess(owner, asked, client);
    const subdomain = owner.job.sandbox?.subdomain ?? "";
    return { success: true as const, port: asked.port, url: urls.urlOf(subdomain), subdomain, private: isPrivate };
  };
}
