import { ROUTES, type urls as wire } from "@mags/api-schema";
import type { UrlService } from "../app/url-service.ts";
import type { UrlAlias } from "../app/url-store.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { needUrls } from "./need-urls.ts";

export function listUrlAliasesRoute({ urls }: RouteDeps): BoundRoute {
  return bind(ROUTES.listUrlAliases, async ({ account }) => {
    const service = needUrls(urls);
    const found = await service.aliases.list(account.id);
    const aliases = await Promise.all(found.map((alias) => toWire(alias, service)));
    return { aliases, total: aliases.length };
  });
}

export function createUrlAliasRoute({ urls }: RouteDeps): BoundRoute {
  return bind(ROUTES.createUrlAlias, async ({ body, account, clientAddress }) => {
    const { subdomain, domain, workspace_id: workspaceId } = body;
    const service = needUrls(urls);
    const asked = { accountId: account.id, subdomain, domain, workspaceId, clientAddress };
    return await toWire(await service.aliases.create(asked), service);
  });
}

export function moveUrlAliasRoute({ urls }: RouteDeps): BoundRoute {
  return bind(ROUTES.moveUrlAlias, async ({ params, body, account, clientAddress }) => {
    const { domain, workspace_id: workspaceId } = body;
    const service = needUrls(urls);
    const asked = { accountId: account.id, subdomain: params.subdomain, domain, workspaceId, clientAddress };
    return await toWire(await service.aliases.move(asked), service);
  });
}

export function deleteUrlAliasRoute({ urls }: RouteDeps): BoundRoute {
  return bind(ROUTES.deleteUrlAlias, async ({ params, query, account, clientAddress }) => {
    const { subdomain } = params;
    const asked = { accountId: account.id, subdomain, domain: query.domain, clientAddress };
    await needUrls(urls).aliases.remove(asked);
    return { success: true as const, message: `Alias ${subdomain} removed` };
  });
}

async function toWire(
  alias: UrlAlias,
  service: Pick<UrlService, "aliasUrl" | "certificateOf">,
): Promise<wire.UrlAliasWire> {
  const certificate = await service.certificateOf(alias);
  return {
    id: alias.id,
    subdomain: alias.subdomain,
    domain: alias.domain,
    url: service.aliasUrl(alias),
    workspace_id: alias.workspaceId,
    created_at: alias.createdAt.toISOString(),
    updated_at: alias.updatedAt.toISOString(),
    ...(certificate && {
      certificate: { expires_at: certificate.expiresAt?.toISOString() ?? null, problem: certificate.problem },
    }),
  };
}
