import type { FrontRequest } from "./front-response.ts";

export interface Authority {
  /** Lower case, without port; a name or an IPv4 address: nothing is served by IPv6 address. */
  readonly host: string;
  /** As it was given. */
  readonly text: string;
}

const SHAPE = /^([a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?)\.?(?::\d{1,5})?$/i;

/**
 * Whom a request is for. Undefined: it says nothing that can be, or more than one: a guest must not take it for another's
 * than this end does.
 */
export function authorityOf(from: FrontRequest): Authority | undefined {
  const said = namesOf(from);
  const [text] = said;
  if (text === undefined || said.some((other) => other.toLowerCase() !== text.toLowerCase())) return undefined;
  const [, host] = SHAPE.exec(text) ?? [];
  return host === undefined ? undefined : { host: host.toLowerCase(), text };
}

function namesOf({ rawHeaders, url = "" }: FrontRequest): readonly string[] {
  const names = rawHeaders.filter(
    (_value, at) => at % 2 === 1 && /^(host|:authority)$/i.test(rawHeaders[at - 1] ?? ""),
  );
  const [, absolute] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url) ?? [];
  return absolute === undefined ? names : [...names, absolute];
}

/** What a guest is asked for: the form that begins with `/`, or `*`. Undefined: it is neither, nor can be made one. */
export function targetOf({ method, url = "" }: FrontRequest): string | undefined {
  if (url.startsWith("/") || url === "*") return url;
  const absolute = /^https?:\/\/[^/?#]*([/?][^#]*)?$/i.exec(url);
  if (!absolute) return undefined;
  const [, rest = method === "OPTIONS" ? "*" : "/"] = absolute; // RFC 9112, 3.2.4
  return rest.startsWith("?") ? `/${rest}` : rest;
}
