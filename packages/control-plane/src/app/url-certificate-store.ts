import type { AccountId } from "@mags/domain";

/** What is known of the certificate of a host. */
export interface StoredCertificate {
  readonly host: string;
  /** Null: none was given yet. */
  readonly issued: {
    /** PEM; what follows the first are those that it leads to. */
    readonly certificate: string;
    readonly sealedKey: Buffer;
    readonly at: Date;
    readonly expiresAt: Date;
  } | null;
  readonly triedAt: Date;
  /** In a row, up to now. */
  readonly failures: number;
  /** Why the last try failed; null: it did not. */
  readonly problem: string | null;
}

/** The name of an alias, and whose that is. */
export interface AliasHost {
  readonly host: string;
  readonly accountId: AccountId;
}

/** How the name of an alias stands. */
export interface CertificateStanding {
  readonly host: string;
  /** Null: none was given yet. */
  readonly expiresAt: Date | null;
  /** Of the last try; null: it did not fail, or there was none. */
  readonly failure: { readonly at: Date; readonly problem: string } | null;
}

/** That an authority was asked. */
export interface CertificateTry {
  readonly host: string;
  /** For whom, though it may be gone since; null: nobody wrote that down. */
  readonly accountId: AccountId | null;
  readonly at: Date;
  readonly issued: boolean;
}

/** Calls may be repeated; see `JobStore` on the database's absence. */
export interface UrlCertificateStore {
  /** Hosts of all aliases that are not in that domain, or of all if it is null. */
  aliasHosts(options: { readonly but: string | null }): Promise<readonly AliasHost[]>;
  /** Of the same hosts. Rejects at once while the database is away. */
  standings(options: { readonly but: string | null }): Promise<readonly CertificateStanding[]>;
  all(): Promise<readonly StoredCertificate[]>;
  get(host: string): Promise<StoredCertificate | null>;
  /** Before the authority is asked. Forgets those that are older than `since`. */
  putTry(asked: AliasHost & { readonly at: Date }, options: { readonly since: Date }): Promise<void>;
  triesSince(at: Date): Promise<readonly CertificateTry[]>;
  /** @param issued  `at`: that of the try */
  putIssued(host: string, issued: NonNullable<StoredCertificate["issued"]>): Promise<void>;
  putFailure(host: string, failure: { readonly at: Date; readonly problem: string }): Promise<void>;
  remove(hosts: readonly string[]): Promise<void>;
  /** What is of hosts that are no alias's, and tries from before then. */
  removeUnused(options: { readonly triedBefore: Date }): Promise<void>;

  putChallenge(challenge: { readonly host: string; readonly token: string; readonly answer: string }): Promise<void>;
  challenge(asked: { readonly host: string; readonly token: string }): Promise<string | null>;
  /** Of all hosts but these. */
  removeChallenges(options: { readonly but: readonly string[] }): Promise<void>;
}
