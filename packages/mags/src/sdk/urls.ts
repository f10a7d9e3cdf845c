/** URLs of VMs: aliases, links that open what is private, and what was asked for. */
import { MagsError } from "./errors.ts";
import { jobPath } from "./job-path.ts";
import type { Transport } from "./transport.ts";
import type { Done, NewUrlLink, UrlAlias, UrlAliases, UrlLinks, UrlTraffic } from "./wire.generated.ts";

export interface UrlLinkOptions {
  /** It opens the URL only while that leads to this port. Default: the one it leads to. */
  readonly port?: number | undefined;
  /** Seconds, at most 30 days. Default: a day. */
  readonly expiresIn?: number | undefined;
}

export interface UrlTrafficOptions {
  /** Only what came after the entry with this id, the first of it; 0: from the beginning. Default: the last entries. */
  readonly after?: number | undefined;
  /** At most 1000. Default: 100. */
  readonly limit?: number | undefined;
}

interface AliasName {
  readonly subdomain: string;
  readonly domain?: string | undefined;
}

type AliasTo = AliasName & { readonly workspaceId: string };

const ALIASES = "/mags-url-aliases";

export async function createUrlAlias(
  transport: Transport,
  { subdomain, workspaceId, domain }: AliasTo,
): Promise<UrlAlias> {
  const body = { subdomain, workspace_id: workspaceId, ...(domain !== undefined && { domain }) };
  return await transport.json({ method: "POST", path: ALIASES, body });
}

export async function listUrlAliases(transport: Transport): Promise<UrlAliases> {
  return await transport.json({ method: "GET", path: ALIASES });
}

export async function moveUrlAlias(
  transport: Transport,
  { subdomain, workspaceId, domain }: AliasTo,
): Promise<UrlAlias> {
  const body = { workspace_id: workspaceId, ...(domain !== undefined && { domain }) };
  return await transport.json({ method: "PUT", path: aliasPath(subdomain), body });
}

export async function deleteUrlAlias(transport: Transport, { subdomain, domain }: AliasName): Promise<Done> {
  return await transport.json({ method: "DELETE", path: aliasPath(subdomain), query: { domain } });
}

export async function createUrlLink(
  transport: Transport,
  nameOrId: string,
  { port, expiresIn }: UrlLinkOptions,
): Promise<NewUrlLink> {
  const body = {
    ...(port !== undefined && { port }),
    ...(expiresIn !== undefined && { expires_in_seconds: expiresIn }),
  };
  return await transport.json({ method: "POST", path: jobPath(nameOrId, "/url-links"), body });
}

export async function listUrlLinks(transport: Transport, nameOrId: string): Promise<UrlLinks> {
  return await transport.json({ method: "GET", path: jobPath(nameOrId, "/url-links") });
}

export async function revokeUrlLink(transport: Transport, nameOrId: string, linkId: string): Promise<Done> {
  if (cannotStandInPath(linkId))
    throw new MagsError(`there is no link "${linkId}"`, { statusCode: 404, code: "url_not_found" });
  return await transport.json({
    method: "DELETE",
    path: jobPath(nameOrId, `/url-links/${encodeURIComponent(linkId)}`),
  });
}

export async function urlTraffic(
  transport: Transport,
  nameOrId: string,
  { after, limit }: UrlTrafficOptions,
): Promise<UrlTraffic> {
  return await transport.json({ method: "GET", path: jobPath(nameOrId, "/url-traffic"), query: { after, limit } });
}

/** @throws MagsError like the server's for an unknown alias, for texts that cannot stand in a path. */
function aliasPath(subdomain: string): string {
  if (cannotStandInPath(subdomain))
    throw new MagsError(`there is no alias "${subdomain}"`, { statusCode: 404, code: "alias_not_found" });
  return `${ALIASES}/${encodeURIComponent(subdomain)}`;
}

const cannotStandInPath = (text: string) => /^\.{0,2}$/.test(text);
