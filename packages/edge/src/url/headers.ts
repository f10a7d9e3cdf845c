/** What of a message's head passes between a client and a guest. Names keep their case, values their bytes, both their order. */

/** Name, value, name, value, …: as Node's `rawHeaders`. */
export type RawHeaders = readonly string[];

export interface ClientSeen {
  /** Of the connection, numeric. */
  readonly address: string;
  /** Who has asked, through however many proxies that are trusted. */
  readonly first: string;
  readonly scheme: "http" | "https";
  /** As the client gave it, with its port. */
  readonly authority: string;
  /** On which it came in. */
  readonly port: number;
  /** A proxy of the operator's: what it says of who was before it holds. */
  readonly trusted: boolean;
}

/** Of one connection only (RFC 9110, 7.6.1); `Connection` may name more. */
const HOP_BY_HOP = new Set([
  ...["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"],
  ...["te", "transfer-encoding", "upgrade", "http2-settings"],
]);
/** Which message follows is not for the other side to say. */
const FORWARDED = new Set([
  ...["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"],
]);

/** They say what the message is, and whose. */
const OF_HEADS = new Set([
  ...["host", "content-length", "content-type", "content-encoding", "content-range", "trailer"],
  ...["authorization", "cookie", "set-cookie"],
]);
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Tells programs that an answer is the gateway's, and its code. No guest's has it. */
export const OWN_REPLY = "mags-error";

/** Where else its host is served, and what of all sandboxes a browser forgets, is not for a guest to say. */
const NOT_OF_GUESTS = new Set(["alt-svc", "clear-site-data", OWN_REPLY]);

export interface RequestHead {
  readonly client: ClientSeen;
  /** Names of cookies and headers that are for the gateway, lower case. */
  readonly own: ReadonlySet<string>;
}

/** Those of a client's request as the guest gets them. */
export function requestHeaders(raw: RawHeaders, { client, own }: RequestHead): string[] {
  const named = namedByConnection(raw);
  const kept: string[] = [];
  const cookies: string[] = [];
  const told = new Map<string, string>();
  for (const [name, value] of pairs(raw)) {
    const lower = name.toLowerCase();
    if (lower === "te" && /\btrailers\b/i.test(value)) kept.push("TE", "trailers");
    if (lower.startsWith(":") || lower === "host" || HOP_BY_HOP.has(lower) || named.has(lower) || own.has(lower))
      continue;
    if (FORWARDED.has(lower)) {
      told.set(lower, told.has(lower) ? `${told.get(lower)}, ${value}` : value);
      continue;
    }
    if (lower === "cookie") cookies.push(...cookiesOf(value, own));
    else kept.push(name, value);
  }
  // HTTP/2 may give one in each field; HTTP/1.1 has one field.
  if (cookies.length > 0) kept.push("Cookie", cookies.join("; "));
  return ["Host", client.authority, ...kept, ...forwarded(told, client)];
}

function forwarded(
  told: ReadonlyMap<string, string>,
  { address, first, scheme, authority, port, trusted }: ClientSeen,
): string[] {
  const before = (name: string) => (trusted ? told.get(name) : undefined);
  const chain = before("x-forwarded-for");
  return [
    ...["X-Forwarded-For", chain ? `${chain}, ${address}` : address],
    ...["X-Forwarded-Proto", before("x-forwarded-proto") ?? scheme],
    ...["X-Forwarded-Host", before("x-forwarded-host") ?? authority],
    ...["X-Forwarded-Port", before("x-forwarded-port") ?? `${port}`],
    ...["X-Real-IP", first],
  ];
}

/** Those of a guest's answer as the client gets them. @param own  names of cookies that no guest may set, lower case */
export function responseHeaders(raw: RawHeaders, own: ReadonlySet<string>): string[] {
  const named = namedByConnection(raw);
  const kept: string[] = [];
  for (const [name, value] of pairs(raw)) {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || named.has(lower) || NOT_OF_GUESTS.has(lower)) continue;
    if (lower !== "set-cookie") kept.push(name, value);
    else if (!own.has(nameOfCookie(value)) && !isNameless(value)) kept.push(name, ofThisHost(value));
  }
  return kept;
}

/** What follows a body, without what only a head may say, and what cannot be written. */
export function trailers(raw: RawHeaders): Record<string, string[]> {
  const kept = [...pairs(raw)].filter(([name, value]) => {
    const lower = name.toLowerCase();
    return !HOP_BY_HOP.has(lower) && !FORWARDED.has(lower) && !OF_HEADS.has(lower) && VALUE.test(value);
  });
  return grouped(kept.flat());
}

export function* pairs(raw: RawHeaders): Generator<readonly [name: string, value: string]> {
  for (let at = 0; at + 1 < raw.length; at += 2) yield [raw[at] as string, raw[at + 1] as string];
}

function namedByConnection(raw: RawHeaders): ReadonlySet<string> {
  const named = new Set<string>();
  for (const [name, value] of pairs(raw))
    if (name.toLowerCase() === "connection") for (const one of value.split(",")) named.add(one.trim().toLowerCase());
  // They say how long the message is, and whose it is, whatever else is said of them.
  for (const needed of ["host", "content-length", "cookie", "authorization"]) named.delete(needed);
  return named;
}

/** A browser sends its value as it is, which may look like a cookie of another name. */
const isNameless = (cookie: string) => nameOfCookie(cookie) === "" || !(cookie.split(";", 1)[0] ?? "").includes("=");

const nameOfCookie = (text: string) => (text.split(/[=;]/, 1)[0] ?? "").trim().toLowerCase();

const cookiesOf = (value: string, own: ReadonlySet<string>) =>
  value
    .split(";")
    .map((cookie) => cookie.trim())
    .filter((cookie) => cookie !== "" && !own.has(nameOfCookie(cookie)));

/** Without `Domain` a cookie is of this host only: none reaches another sandbox. */
function ofThisHost(cookie: string): string {
  const [pair = "", ...attributes] = cookie.split(";");
  return [pair, ...attributes.filter((attribute) => nameOfCookie(attribute) !== "domain")].join(";");
}

/** By name: more than one value of a name stay apart. */
export function grouped(raw: RawHeaders): Record<string, string[]> {
  const all: Record<string, string[]> = {};
  for (const [name, value] of pairs(raw)) {
    const values = Object.hasOwn(all, name.toLowerCase()) ? all[name.toLowerCase()] : undefined;
    if (values) values.push(value);
    else Object.defineProperty(all, name.toLowerCase(), { value: [value], enumerable: true });
  }
  return all;
}
