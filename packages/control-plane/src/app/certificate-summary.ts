/** How the certificates of all aliases stand, for the operator. */
import type { CertificateStanding } from "./url-certificate-store.ts";

export const CERTIFICATE_STATES = ["valid", "expired", "missing"] as const;
type NameState = (typeof CERTIFICATE_STATES)[number];

export interface CertificateSummary {
  /** Names, by what they have: one that holds; one that has ended; none yet. `failing`: their last try failed. */
  readonly names: Readonly<Record<NameState, { readonly all: number; readonly failing: number }>>;
  /** The one of those that hold that ends first; null: none does. */
  readonly firstEnd: { readonly host: string; readonly at: Date } | null;
  /** Of all names. */
  readonly newestFailure: NamedFailure | null;
  /** Failing names whose certificate has ended or ends soon: how many, and the one that ends first. */
  readonly ending: number;
  readonly firstEnding: (NamedFailure & { readonly expiresAt: Date }) | null;
}

interface NamedFailure {
  readonly host: string;
  readonly at: Date;
  readonly problem: string;
}

/** Most are asked for anew a month before they end. */
const SOON_MS = 14 * 86_400_000;

export function summaryOf(standings: readonly CertificateStanding[], now: Date): CertificateSummary {
  const stateOf = ({ expiresAt }: CertificateStanding): NameState => {
    if (!expiresAt) return "missing";
    return expiresAt > now ? "valid" : "expired";
  };
  const countOf = (state: NameState) => {
    const all = standings.filter((one) => stateOf(one) === state);
    return { all: all.length, failing: all.filter(({ failure }) => failure).length };
  };
  const holding = standings.flatMap(({ host, expiresAt: at }) => (at && at > now ? [{ host, at }] : []));
  const failures = standings.flatMap(({ host, failure }) => (failure ? [{ host, ...failure }] : []));
  const soon = new Date(now.getTime() + SOON_MS);
  const ending = standings.flatMap(({ host, expiresAt, failure }) =>
    failure && expiresAt && expiresAt < soon ? [{ host, ...failure, expiresAt }] : [],
  );
  return {
    names: { valid: countOf("valid"), expired: countOf("expired"), missing: countOf("missing") },
    firstEnd: firstBy(holding, ({ at }) => at.getTime()),
    newestFailure: firstBy(failures, ({ at }) => -at.getTime()),
    ending: ending.length,
    firstEnding: firstBy(ending, ({ expiresAt }) => expiresAt.getTime()),
  };
}

const firstBy = <T>(all: readonly T[], rank: (one: T) => number): T | null =>
  all.toSorted((a, b) => rank(a) - rank(b))[0] ?? null;
