/** The names that URLs have: `<label>.<domain>`, with the domain of this installation, or one of an account's own. */
import { AppError } from "@mags/core";

export interface UrlNames {
  /** Of this installation. */
  readonly domain: string;
  /** That clients may name in its place. */
  readonly synonyms: readonly string[];
  /** What clients are told of the way there. Asked each time: it is known once the gateway listens. */
  readonly public: () => { readonly scheme: "http" | "https"; readonly port: number };
}

export interface UrlName {
  readonly label: string;
  readonly domain: string;
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const DOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
/** What sandboxes are called; nobody else is. */
const GIVEN = /^[0-9a-f]{12}$/;
const USUAL_PORTS = { http: 80, https: 443 } as const;

/** @param host  Lower case, without port. Null: it is of no such form. */
export function nameOf(host: string): UrlName | null {
  const at = host.indexOf(".");
  return at <= 0 ? null : { label: host.slice(0, at), domain: host.slice(at + 1) };
}

export function urlOf({ label, domain }: UrlName, names: Pick<UrlNames, "public">): string {
  const { scheme, port } = names.public();
  return `${scheme}://${label}.${domain}${port === USUAL_PORTS[scheme] ? "" : `:${port}`}`;
}

/** @throws AppError `validation_failed` */
export function checkedLabel(text: string): string {
  const rule = "must have 1 to 63 lower-case letters, digits and dashes, and neither begin nor end with a dash";
  if (!LABEL.test(text)) throw new AppError("validation_failed", `subdomain: ${rule}`);
  if (GIVEN.test(text))
    throw new AppError(
      "validation_failed",
      "subdomain: 12 hexadecimal digits are what sandboxes are called: choose another",
    );
  return text;
}

/** @returns that of this installation for its synonyms. @throws AppError `validation_failed` */
export function checkedDomain(text: string | undefined, { domain, synonyms }: UrlNames): string {
  if (text === undefined || text === domain || synonyms.includes(text)) return domain;
  if (!DOMAIN.test(text))
    throw new AppError("validation_failed", "domain: must be the name of a domain, in lower case");
  return text;
}
