/**
 * Whose names in other domains than this installation's are: the operator lists domains in which everybody may have some,
 * or a record in the DNS names the account.
 */
import { AppError, messageOf } from "@mags/core";
import type { AccountId } from "@mags/domain";
import type { UrlName } from "./url-names.ts";

export interface OwnDomains {
  /** In these domains, and those below, every account may have names. */
  readonly allowed: readonly string[];
  /** Whether a record in the DNS shows whose a name is. */
  readonly dns: boolean;
}

export interface UrlDomainsDeps {
  /** Texts of the TXT records of a name; none: there are none. @throws when that cannot be found out */
  readonly lookUp: (name: string) => Promise<readonly string[]>;
  /** Names that nobody has, nor those that they lie below, nor those below them: the installation's. */
  readonly reserved: () => readonly string[];
}

const LABEL = "_mags";

/** @throws AppError `validation_failed` for a name that can be nobody's, `forbidden` that says what shows whose it is, `unavailable` */
export async function checkOwnName(
  accountId: AccountId,
  name: UrlName,
  { lookUp, reserved, allowed, dns }: UrlDomainsDeps & OwnDomains,
): Promise<void> {
  const whole = `${name.label}.${name.domain}`;
  const wrong = reasonAgainst(whole, name, reserved());
  if (wrong !== null) throw new AppError("validation_failed", `domain: ${wrong}`);
  if (allowed.some((domain) => isWithin(name.domain, domain))) return;
  if (!dns)
    throw new AppError("forbidden", `${whole}: this server takes no domains but its own, and those that it allows all`);
  const mark = `mags-account=${accountId}`;
  // Whoever has the domain has all names in it; none has a top-level domain.
  const places = [`${LABEL}.${whole}`, ...(name.domain.includes(".") ? [`${LABEL}.${name.domain}`] : [])];
  const asked = await Promise.allSettled(places.map(lookUp));
  if (asked.some((answer) => answer.status === "fulfilled" && answer.value.includes(mark))) return;
  const failed = asked.find((answer) => answer.status === "rejected");
  if (failed)
    throw new AppError(
      "unavailable",
      `the DNS does not tell now whether there is a TXT record ${places[0]} with the text ${mark}, which shows that ${whole} is yours (${messageOf(failed.reason)}): try again`,
      { cause: failed.reason },
    );
  throw new AppError(
    "forbidden",
    `${whole} is not known to be yours: show it by a TXT record ${places[0]} with the text ${mark}, and try again`,
  );
}

const isWithin = (name: string, domain: string) => name === domain || name.endsWith(`.${domain}`);

function reasonAgainst(whole: string, { domain }: UrlName, reserved: readonly string[]): string | null {
  if (/(^|\.)\d+$/.test(whole)) return "must be the name of a domain, and no address";
  if (isWithin(whole, "localhost")) return "names below localhost are each machine's own";
  const own = reserved.find((name) => isWithin(whole, name) || isWithin(name, whole));
  return own === undefined ? null : `${domain}: ${own} is this server's`;
}
