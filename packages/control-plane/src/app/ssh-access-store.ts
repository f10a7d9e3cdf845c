import type { AccountId, JobId, SandboxId } from "@mags/domain";

/** What a sandbox is reached by, as it is stored. */
export interface StoredSshAccess {
  /** Of its key. */
  readonly fingerprint: string;
  readonly sealedKey: Buffer;
}

/** A sandbox with a key of its own whose persistent job lives. */
export interface SshTarget {
  readonly sandboxId: SandboxId;
  readonly accountId: AccountId;
  /** The one whose sandbox it is now. */
  readonly jobId: JobId;
  readonly jobName: string;
  readonly workspaceId: string | null;
}

/** How an account has what a name stands for: it lives, or is a workspace that is kept; or all that was is over. */
export type Presence = "there" | "over";

export interface PortRange {
  /** Both inclusive. */
  readonly from: number;
  readonly to: number;
}

/** Keys and ports of sandboxes; they end with them. Calls may be repeated; see `JobStore` on the database's absence. */
export interface SshAccessStore {
  /** The secret of that name; where there is none, `make` makes it. All who ask get the same. */
  secret(name: string, make: () => { readonly sealed: Buffer; readonly at: Date }): Promise<Buffer>;
  /** Puts another in the place of that one, unless somebody has done so. @returns the one that is there then */
  replaceSecret(name: string, old: Buffer, by: { readonly sealed: Buffer; readonly at: Date }): Promise<Buffer>;
  get(sandboxId: SandboxId): Promise<StoredSshAccess | null>;
  /**
   * Stores the first key of a sandbox, or another in place of `replaces`.
   * @returns what is stored then, which may be another's; null: the sandbox has ended.
   */
  put(
    sandboxId: SandboxId,
    key: StoredSshAccess & { readonly at: Date /** Fingerprint. */; readonly replaces: string | null },
  ): Promise<StoredSshAccess | null>;
  /**
   * Gives a sandbox a port that no other has, at random, instead of the one it has; rather one that none had lately.
   * @param options.without  Which cannot be had.
   * @returns null: there is none left; it has none then, or it has no key any more.
   */
  choosePort(
    sandboxId: SandboxId,
    range: PortRange,
    options: { readonly without: readonly number[]; readonly now: Date },
  ): Promise<number | null>;
  ports(): Promise<ReadonlyMap<SandboxId, number>>;
  byFingerprint(fingerprint: string): Promise<SshTarget | null>;
  byPort(port: number): Promise<SshTarget | null>;
  /** Those of the accounts that have a job, ended or not, of that name, id or workspace, or such a workspace. */
  accountsWith(accountIds: readonly AccountId[], key: string): Promise<ReadonlyMap<AccountId, Presence>>;
}
