/**
 * What a guest may reach. `filtered`: the internet, but no private, link-local or metadata address and not the host;
 * `none`: nothing, and no name service; `allow`: of what `filtered` reaches, the hosts whose names are on the list.
 */
export type EgressPolicy = "filtered" | "none" | { readonly allow: readonly string[] };

export const MAX_ALLOWED_HOSTS = 64;
const MAX_NAME_CHARACTERS = 253;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * An entry of an allow-list as it is compared: lower case, no dot at the end, `*.` in front for all names below a host.
 * @returns nothing when it is neither `host.name` nor `*.host.name`. Names in other scripts must be given as they are
 * asked for (`xn--…`).
 */
export function normalizeAllowedHost(text: string): string | undefined {
  const entry = text.trim().toLowerCase().replace(/\.$/, "");
  const name = entry.startsWith("*.") ? entry.slice(2) : entry;
  const labels = name.split(".");
  const isAddress = /^\d+$/.test(labels.at(-1) ?? "");
  if (isAddress || name.length > MAX_NAME_CHARACTERS || !labels.every((label) => LABEL.test(label))) return undefined;
  return entry;
}

/** Whether a normalized allow-list has the name. `*.example.org` has every name below example.org, and not itself. */
export function allowsHost(allow: readonly string[], name: string): boolean {
  const wanted = name.toLowerCase().replace(/\.$/, "");
  return allow.some((entry) => (entry.startsWith("*.") ? wanted.endsWith(entry.slice(1)) : wanted === entry));
}
